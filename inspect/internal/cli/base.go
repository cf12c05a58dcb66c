package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/inspect/internal/describe"
	"github.com/kaniko-suite/kaniko/inspect/internal/lineage"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/shared/command"
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
	lineage.Base
}

func (c *baseCommand) look(ctx context.Context, s *session, args []string) error {
	opened, img, err := c.one(ctx, s, args[0])
	if err != nil {
		return err
	}
	doc := &baseDocument{header: headerOf(args[0], img)}
	if doc.Base, err = (&lineage.Finder{Client: s.client, Candidates: c.candidates}).Find(ctx, opened, img); err != nil {
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
	rows.Add("image", d.header.Name+" "+d.header.Digest)
	if d.Base.Name != "" {
		rows.Add("base", d.Base.Name+" (by "+d.From+")")
	}
	if d.Base.Digest != "" {
		rows.Add("built from", d.Base.Digest)
	}
	if d.CurrentDigest != "" {
		rows.Add("now", d.CurrentDigest)
	}
	if d.Base.Layers > 0 {
		rows.Add("layers", fmt.Sprintf("%d of the base's %d", d.SharedLayers, d.Base.Layers))
	}
	rows.Add("state", d.State)
	return rows.String()
}
