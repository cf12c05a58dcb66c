package cli

import (
	"context"
	"fmt"
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

` + names + "\n\n" + usualCodes,
		Args: cobra.ExactArgs(1),
		RunE: runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, allPlatforms)
	fs.BoolVar(&c.attached, "attached", true, "look for what is attached to the image, in its index and by asking the registry")
	c.bindOutput(fs)
	c.access.bind(fs)
	return cmd
}

// showDocument is the answer.
type showDocument struct {
	header
	MediaType   string            `json:"mediaType"`
	Annotations map[string]string `json:"annotations,omitempty"` // an index's
	Images      []shownImage      `json:"images"`
	// Attestations are how many manifests of the index say something of another.
	Attestations int             `json:"attestations,omitempty"`
	Attached     []attached.Item `json:"attached,omitempty"` // to an index
	index        bool
}

type shownImage struct {
	*describe.Image
	Attached []attached.Item `json:"attached,omitempty"`
}

func (c *showCommand) look(ctx context.Context, s *session, args []string) error {
	opened, err := source.Open(ctx, s.client, args[0])
	if err != nil {
		return err
	}
	doc, err := c.answer(opened)
	if err != nil {
		return err
	}
	if c.attached {
		if err := doc.attach(ctx, s, opened); err != nil {
			return err
		}
	}
	return c.print(s, doc)
}

// answer is what the image and its index say of themselves.
func (c *showCommand) answer(opened *source.Source) (*showDocument, error) {
	doc := &showDocument{
		header:    header{Version: documentVersion, Name: opened.Name, Digest: opened.Digest.String()},
		MediaType: string(opened.MediaType), Images: []shownImage{}, index: opened.Index != nil,
	}
	if doc.index {
		m, err := opened.Index.IndexManifest()
		if err != nil {
			return nil, fmt.Errorf("read the index %s: %w", opened.Name, err)
		}
		doc.Annotations = m.Annotations
		for _, d := range m.Manifests {
			if source.IsAttestation(d) {
				doc.Attestations++
			}
		}
	}
	images, err := opened.Images(c.want)
	if err != nil {
		return nil, err
	}
	for _, i := range images {
		d, err := describe.Of(i)
		if err != nil {
			return nil, err
		}
		doc.Images = append(doc.Images, shownImage{Image: d})
	}
	return doc, nil
}

// attach adds what others say of the image: in its index and, in a registry, beside it.
func (d *showDocument) attach(ctx context.Context, s *session, opened *source.Source) error {
	within, err := attached.InIndex(opened)
	if err != nil {
		return err
	}
	find := func(context.Context, string) ([]attached.Item, error) { return nil, nil }
	if opened.Repository != nil {
		find = (&attached.Finder{Client: s.client, Repository: *opened.Repository}).Named
	}
	if d.index {
		if d.Attached, err = find(ctx, d.Digest); err != nil {
			return err
		}
	}
	for n := range d.Images {
		i := &d.Images[n]
		beside, err := find(ctx, i.Digest)
		if err != nil {
			return err
		}
		i.Attached = append(within[i.Digest], beside...)
	}
	return nil
}

func (d *showDocument) table() string {
	var b strings.Builder
	top := output.NewRows()
	top.Add("name", d.Name)
	top.Add("digest", d.Digest)
	top.Add("type", d.MediaType)
	keyed(top, "annotation", d.Annotations)
	if d.Attestations > 0 {
		top.Add("attestations", fmt.Sprint(d.Attestations))
	}
	if len(d.Attached) > 0 {
		top.Add("attached", summary(d.Attached))
	}
	b.WriteString(top.String())
	for _, i := range d.Images {
		b.WriteString("\n" + i.table(d.index))
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
	say("size", output.Size(i.Size))
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
	return strings.Join(parts, ", ")
}
