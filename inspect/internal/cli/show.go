package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/inspect/internal/attached"
	"github.com/kaniko-suite/kaniko/inspect/internal/describe"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/command"
)

type showCommand struct {
	looking
	attached bool
}

func newShow(env *command.Env) *cobra.Command {
	c := &showCommand{}
	cmd := &cobra.Command{
		Use:   "show REF",
		Short: "Tell what an image is",
		Long: `show prints what an image or each image of an index is: digest, platform, size,
when it was made, its layers and what made them, base, labels, how it is run, and
which signatures, attestations and lists of software are attached. No layer is
read.

` + names + `

Exit codes: 0; 2 if the command line is wrong or something did not work; 5 if
the image is not there, or the registry does not allow to see it.`,
		Args: cobra.ExactArgs(1),
		RunE: runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, "`platform` to show of an index; all of them without")
	fs.BoolVar(&c.attached, "attached", true, "ask the registry what is attached to the image")
	c.bindOutput(fs)
	c.access.bind(fs)
	return cmd
}

// showDocument is the answer.
type showDocument struct {
	Version     int               `json:"version"`
	Name        string            `json:"name"`
	Digest      string            `json:"digest"`
	MediaType   string            `json:"mediaType"`
	Annotations map[string]string `json:"annotations,omitempty"` // an index's
	Images      []shownImage      `json:"images"`
	// Attestations are how many manifests of the index say something of another.
	Attestations int             `json:"attestations,omitempty"`
	Attached     []attached.Item `json:"attached,omitempty"` // to an index
}

type shownImage struct {
	*describe.Image
	Attached []attached.Item `json:"attached,omitempty"`
}

func (c *showCommand) look(ctx context.Context, s *session, args []string) error {
	doc, err := c.answer(ctx, s, args[0])
	if err != nil {
		return err
	}
	return c.print(s, doc, func(w io.Writer) error {
		_, err := io.WriteString(w, doc.table())
		return err
	})
}

func (c *showCommand) answer(ctx context.Context, s *session, spec string) (*showDocument, error) {
	opened, err := source.Open(ctx, s.client, spec)
	if err != nil {
		return nil, err
	}
	doc := &showDocument{Version: documentVersion, Name: spec, Digest: opened.Digest.String(), MediaType: string(opened.MediaType), Images: []shownImage{}}
	var finder *attached.Finder
	if c.attached && opened.Repository != nil {
		finder = &attached.Finder{Client: s.client, Repository: *opened.Repository}
	}
	if opened.Index != nil {
		m, err := opened.Index.IndexManifest()
		if err != nil {
			return nil, fmt.Errorf("read the index %s: %w", spec, err)
		}
		doc.Annotations = m.Annotations
		for _, d := range m.Manifests {
			if source.IsAttestation(d) {
				doc.Attestations++
			}
		}
		if finder != nil {
			if doc.Attached, err = finder.Find(ctx, opened.Digest); err != nil {
				return nil, err
			}
		}
	}
	images, err := opened.Images(c.want)
	if err != nil {
		return nil, err
	}
	for _, i := range images {
		shown := shownImage{}
		if shown.Image, err = describe.Of(i); err != nil {
			return nil, err
		}
		if finder != nil {
			if shown.Attached, err = finder.Find(ctx, i.Descriptor.Digest); err != nil {
				return nil, err
			}
		}
		doc.Images = append(doc.Images, shown)
	}
	return doc, nil
}

func (d *showDocument) table() string {
	var b strings.Builder
	top := output.NewRows()
	top.Add("name", d.Name)
	top.Add("digest", d.Digest)
	top.Add("type", d.MediaType)
	index := len(d.Images) != 1 || d.Images[0].Digest != d.Digest
	if index {
		keyed(top, "annotation", d.Annotations)
		if d.Attestations > 0 {
			top.Add("attestations", fmt.Sprint(d.Attestations))
		}
		top.Add("attached", summary(d.Attached))
	}
	b.WriteString(top.String())
	for _, i := range d.Images {
		b.WriteString("\n" + i.table(index))
	}
	return b.String()
}

func (i *shownImage) table(inIndex bool) string {
	rows := output.NewRows()
	say := func(name, value string) {
		if value != "" {
			rows.Add(name, value)
		}
	}
	say("platform", i.Platform)
	if inIndex {
		say("digest", i.Digest)
	}
	say("size", fmt.Sprintf("%s in %d layers", output.Size(i.Size), len(i.Layers)))
	say("created", i.Created)
	say("author", i.Author)
	if i.Base != nil {
		say("base", strings.TrimSpace(i.Base.Name+" "+i.Base.Digest))
	}
	say("user", i.User)
	say("directory", i.WorkingDir)
	say("entrypoint", words(i.Entrypoint))
	say("command", words(i.Cmd))
	for _, e := range i.Env {
		say("variable", e)
	}
	keyed(rows, "label", i.Labels)
	keyed(rows, "annotation", i.Annotations)
	say("attached", summary(i.Attached))
	var b strings.Builder
	b.WriteString(rows.String())
	if len(i.Layers) > 0 {
		b.WriteString("\n" + layerRows(i.Layers).String())
	}
	return b.String()
}

// layerRows is a table of layers.
func layerRows(all []describe.Layer) *output.Rows {
	rows := output.NewRows("LAYER", "DIGEST", "SIZE", "FORMAT", "MADE BY")
	for _, l := range all {
		rows.Add(fmt.Sprint(l.N), output.Short(l.Digest), output.Size(l.Size), l.Format, output.Clip(l.CreatedBy, 80))
	}
	return rows
}

func keyed(rows *output.Rows, name string, all map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(all)) {
		rows.Add(name, k+"="+all[k])
	}
}

// words are the parts of a command as a list, if there are any.
func words(all []string) string {
	if len(all) == 0 {
		return ""
	}
	var quoted []string
	for _, w := range all {
		quoted = append(quoted, fmt.Sprintf("%q", w))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// summary says how much is attached.
func summary(all []attached.Item) string {
	n := attached.Counts(all)
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%d %s", n[k], k))
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ")
}
