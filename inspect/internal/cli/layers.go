package cli

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/inspect/internal/describe"
	"github.com/kaniko-suite/kaniko/inspect/internal/files"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/command"
)

type layersCommand struct {
	looking
	files string
}

// allFiles is the value of --files without one.
const allFiles = "*"

func newLayers(env *command.Env) *cobra.Command {
	c := &layersCommand{}
	cmd := &cobra.Command{
		Use:   "layers REF",
		Short: "List the layers of an image, and what is in each",
		Long: `layers prints the layers of an image: digests, sizes, how they are compressed and
what made them. No layer is read, but for --files, which lists what each has,
marks of deletions included; of layers of estargz and zstd:chunked that is known
from their index.

` + names + "\n\n" + usualCodes,
		Example: `  inspect layers registry.example/app:1
  inspect layers --files='*.conf' registry.example/app:1`,
		Args: cobra.ExactArgs(1),
		RunE: runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, onePlatform)
	fs.StringVar(&c.files, "files", "", "list the entries of each layer whose name, or whole path if there is a slash in it, matches `GLOB`; all without one")
	fs.Lookup("files").NoOptDefVal = allFiles
	c.bindOutput(fs)
	c.access.bind(fs)
	return cmd
}

func (c *layersCommand) check() error {
	if _, err := path.Match(c.files, ""); err != nil {
		return fmt.Errorf("--files is %q: %w", c.files, err)
	}
	return c.looking.check()
}

// layersDocument is the answer.
type layersDocument struct {
	header
	Layers []listedLayer `json:"layers"`
	files  bool          // are listed
}

type listedLayer struct {
	describe.Layer
	// Entries are how many the layer has, whichever are listed; 0 if it was not read.
	Entries int          `json:"entries,omitempty"`
	Bytes   int64        `json:"uncompressedSize,omitempty"` // of files' contents
	ByIndex bool         `json:"byIndex,omitempty"`          // entries are known from the layer's index
	Note    string       `json:"note,omitempty"`
	Files   []listedFile `json:"files,omitempty"`
}

func (c *layersCommand) look(ctx context.Context, s *session, args []string) error {
	_, img, err := c.one(ctx, s, args[0])
	if err != nil {
		return err
	}
	d, err := describe.Of(img)
	if err != nil {
		return err
	}
	doc := &layersDocument{header: headerOf(args[0], img), Layers: []listedLayer{}, files: c.files != ""}
	for _, l := range d.Layers {
		doc.Layers = append(doc.Layers, listedLayer{Layer: l})
	}
	if doc.files {
		if err := c.listAll(ctx, doc, img); err != nil {
			return fmt.Errorf("list the files of %s: %w", args[0], err)
		}
	}
	return c.print(s, doc)
}

// listAll adds what the layers have.
func (c *layersCommand) listAll(ctx context.Context, doc *layersDocument, img source.Image) error {
	layers, err := files.Layers(img)
	if err != nil {
		return err
	}
	for n, l := range layers {
		if err := c.list(ctx, &doc.Layers[n], l); err != nil {
			return err
		}
	}
	return nil
}

// list adds what a layer has.
func (c *layersCommand) list(ctx context.Context, to *listedLayer, l *files.Layer) error {
	all, err := l.Entries(ctx)
	if err != nil {
		return err
	}
	to.Entries, to.ByIndex = len(all), l.ByIndex()
	if l.Reason != "" {
		to.Note = "it was read whole: " + l.Reason
	}
	for _, e := range all {
		if e.Type() == "file" {
			to.Bytes += e.Header.Size
		}
		if c.matches(e.Path) {
			to.Files = append(to.Files, listed(e, e.Header.Size))
		}
	}
	return nil
}

func (c *layersCommand) matches(p string) bool {
	name := path.Base(p)
	if strings.Contains(c.files, "/") {
		name = strings.TrimPrefix(p, "/")
	}
	ok, err := path.Match(strings.TrimPrefix(c.files, "/"), name)
	return ok && err == nil
}

func (d *layersDocument) table() string {
	if !d.files {
		return d.summary()
	}
	var b strings.Builder
	for i, l := range d.Layers {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "layer %d  %s  %s, %d entries, %s of files  %s\n", l.N, output.Short(l.Digest), l.Format, l.Entries,
			output.Size(l.Bytes), output.Plain(output.Clip(l.CreatedBy, 80)))
		if l.Note != "" {
			fmt.Fprintf(&b, "note: %s\n", output.Plain(l.Note))
		}
		b.WriteString(fileRows(l.Files).String())
	}
	return b.String()
}

// summary has a line for each layer.
func (d *layersDocument) summary() string {
	rows := output.NewRows("LAYER", "DIGEST", "DIFFID", "SIZE", "FORMAT", "INDEX", "MADE BY")
	for _, l := range d.Layers {
		index := "-"
		if l.TOC != "" {
			index = output.Short(l.TOC)
		}
		rows.Add(fmt.Sprint(l.N), output.Short(l.Digest), output.Short(l.DiffID), output.Size(l.Size), l.Format, index, output.Clip(l.CreatedBy, 60))
	}
	return rows.String()
}
