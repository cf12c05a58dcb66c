package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/inspect/internal/describe"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

type baseCommand struct {
	looking
	candidates []string
}

func newBase(env *command.Env) *cobra.Command {
	c := &baseCommand{}
	cmd := &cobra.Command{
		Use:   "base REF",
		Short: "Tell what an image was built from, and whether that is outdated",
		Long: `base prints the base that an image's annotations name, or of the candidates the
one of which the image has the most layers, and looks whether its name stands for
the same today: current (it does), moved (for another digest, whose layers the
image has), outdated (for something else), gone (for nothing) or unknown. Layers
are compared by the digests of their archives; none is read.

` + names + `

Exit codes: 0; 1 if the base is outdated or gone; 2 if the command line is wrong
or something did not work; 5 if the image is not there or no base is known, or
the registry does not allow to see it.`,
		Example: `  inspect base registry.example/app:1
  inspect base --candidate debian:12 --candidate debian:13 registry.example/app:1`,
		Args: cobra.ExactArgs(1),
		RunE: runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, onePlatform)
	fs.StringArrayVar(&c.candidates, "candidate", nil, "`image` that may be the base, as REF; repeatable")
	c.bindOutput(fs)
	c.access.bind(fs)
	return cmd
}

// baseDocument is the answer.
type baseDocument struct {
	header
	lineage
}

// lineage is what is known of an image's base.
type lineage struct {
	State string `json:"state"`
	Base  string `json:"base,omitempty"`
	// BaseDigest is what the image says that it was built from, and CurrentDigest what
	// the base's name stands for today.
	BaseDigest    string `json:"baseDigest,omitempty"`
	CurrentDigest string `json:"currentDigest,omitempty"`
	// From says how the base is known: annotation or layers.
	From string `json:"from,omitempty"`
	// Layers are how many of the image's the base has, of those of the base.
	SharedLayers int `json:"sharedLayers"`
	BaseLayers   int `json:"baseLayers,omitempty"`
}

func (c *baseCommand) look(ctx context.Context, s *session, args []string) error {
	opened, img, err := c.one(ctx, s, args[0])
	if err != nil {
		return err
	}
	doc := &baseDocument{header: headerOf(args[0], img)}
	if doc.lineage, err = s.lineage(ctx, opened, img, c.candidates); err != nil {
		return err
	}
	if err := c.print(s, doc); err != nil {
		return err
	}
	switch doc.State {
	case describe.Outdated, describe.Gone:
		return command.Status(exitNo)
	case describe.Unknown:
		return command.Status(exitAbsent)
	}
	return nil
}

func (d *baseDocument) table() string {
	rows := output.NewRows()
	rows.Add("image", d.Name+" "+d.Digest)
	if d.Base != "" {
		rows.Add("base", d.Base+" (by "+d.From+")")
	}
	if d.BaseDigest != "" {
		rows.Add("built from", d.BaseDigest)
	}
	if d.CurrentDigest != "" {
		rows.Add("now", d.CurrentDigest)
	}
	if d.BaseLayers > 0 {
		rows.Add("layers", fmt.Sprintf("%d of the base's %d", d.SharedLayers, d.BaseLayers))
	}
	rows.Add("state", d.State)
	return rows.String()
}

// lineage finds out what an image lies on.
func (s *session) lineage(ctx context.Context, opened *source.Source, img source.Image, candidates []string) (lineage, error) {
	unknown := lineage{State: describe.Unknown}
	m, err := img.Manifest()
	if err != nil {
		return unknown, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return unknown, err
	}
	var above map[string]string
	if opened.Index != nil {
		index, err := opened.Index.IndexManifest()
		if err != nil {
			return unknown, err
		}
		above = index.Annotations
	}
	// An image must not have us look into files of this machine.
	if named := describe.NamedBase(m.Annotations, above, config); named != nil && named.Name != "" && source.IsReference(named.Name) {
		return s.namedBase(ctx, *named, img.Platform, config.RootFS.DiffIDs)
	}
	return s.likelyBase(ctx, candidates, img.Platform, config.RootFS.DiffIDs)
}

// namedBase looks what a base that an image names is today.
func (s *session) namedBase(ctx context.Context, named describe.Named, platform v1.Platform, ids []v1.Hash) (lineage, error) {
	l := lineage{State: describe.Outdated, Base: named.Name, BaseDigest: named.Digest, From: "annotation"}
	// The recorded name is that of the base as it was asked for; with a digest it can be nothing else today.
	now, err := source.Open(ctx, s.client, named.Name)
	if absent(err) {
		l.State = describe.Gone
		return l, nil
	}
	if err != nil {
		return l, err
	}
	l.CurrentDigest = now.Digest.String()
	digests, below, err := digestsFor(now, platform)
	if err != nil {
		return l, err
	}
	l.BaseLayers, l.SharedLayers = len(below), describe.Shared(ids, below)
	for _, d := range digests {
		if d == named.Digest {
			l.State = describe.Current
			return l, nil
		}
	}
	if describe.IsBase(ids, below) {
		l.State = describe.Moved
		if named.Digest == "" {
			l.State = describe.Current
		}
	}
	return l, nil
}

// digestsFor are the digests by which a base may have been recorded, and the layers of
// its image for a platform; none if it has none for it.
func digestsFor(base *source.Source, platform v1.Platform) (digests []string, ids []v1.Hash, _ error) {
	digests = []string{base.Digest.String()}
	all, err := base.Images(&platform)
	var none *source.PlatformError
	if errors.As(err, &none) {
		return digests, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	config, err := all[0].ConfigFile()
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration of %s: %w", base.Name, err)
	}
	return append(digests, all[0].Descriptor.Digest.String()), config.RootFS.DiffIDs, nil
}

// likelyBase is, of the candidates, the one of which the image has the most layers.
func (s *session) likelyBase(ctx context.Context, candidates []string, platform v1.Platform, ids []v1.Hash) (lineage, error) {
	best := lineage{State: describe.Unknown}
	for _, spec := range candidates {
		opened, err := source.Open(ctx, s.client, spec)
		if err != nil {
			return best, err
		}
		_, below, err := digestsFor(opened, platform)
		if err != nil {
			return best, err
		}
		l := lineage{
			State: describe.Outdated, Base: spec, CurrentDigest: opened.Digest.String(), From: "layers",
			SharedLayers: describe.Shared(ids, below), BaseLayers: len(below),
		}
		if describe.IsBase(ids, below) {
			l.State = describe.Current
		}
		if l.SharedLayers > best.SharedLayers {
			best = l
		}
	}
	return best, nil
}

// absent tells whether an error says that something is not there.
func absent(err error) bool {
	return err != nil && (errors.Is(err, registry.ErrNotFound) || errors.Is(err, fs.ErrNotExist))
}
