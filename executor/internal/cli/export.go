package cli

import (
	"context"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/engine"
)

// exporter is where the image goes. Whether it may go there is asked now, before
// time is spent on the build.
func (b *builder) exporter(ctx context.Context) (engine.Exporter, error) {
	c := exporter.Config{
		NoPush: b.flags.noPush, LayoutPath: b.flags.ociLayout, TarPath: b.flags.tarPath, DigestFile: b.flags.digestFile,
		SkipCheck: b.flags.noCheck, IgnoreImmutable: b.flags.immutable,
		Client: b.client, Pushed: b.pushed,
	}
	for _, d := range b.flags.destinations {
		tag, err := b.client.Tag(d)
		if err != nil {
			return nil, err
		}
		c.Destinations = append(c.Destinations, tag)
	}
	if c.TarPath != "" && !c.NoPush {
		b.env.Log.Info("--tarPath saves the image and pushes nothing")
	}
	if err := c.Check(ctx); err != nil {
		return nil, err
	}
	return exporter.New(c), nil
}

func (b *builder) pushed(r exporter.Result) {
	switch {
	case r.Kept != nil:
		b.env.Log.Info("not pushed, since the tag is there already: " + r.Kept.Error())
	case r.Err == nil:
		b.env.Log.Info("pushed " + r.Tag.Name() + "@" + r.Digest.String())
	}
}
