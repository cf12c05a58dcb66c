package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/inspect/internal/attached"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/command"
)

type treeCommand struct{ looking }

func newTree(env *command.Env) *cobra.Command {
	c := &treeCommand{}
	cmd := &cobra.Command{
		Use:   "tree REF",
		Short: "Show what is attached to an image",
		Long: `tree prints what an image is made of and what refers to it, as a tree: the images
of an index, and below each signatures, attestations, lists of software and
whatever else refers to it: by the registry's list, by the list under the tag
sha256-DIGEST where the registry keeps none, and under the tags of cosign
(.sig, .att, .sbom). REF is a reference.

Exit codes: 0; 2 if the command line is wrong or something did not work; 5 if
the image is not there, or the registry does not allow to see it.`,
		Args: cobra.ExactArgs(1),
		RunE: runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, "`platform` to show of an index; all of them without")
	c.bindOutput(fs)
	c.access.bind(fs)
	return cmd
}

// treeDocument is the answer.
type treeDocument struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	treeNode
}

type treeNode struct {
	Digest      string          `json:"digest"`
	MediaType   string          `json:"mediaType,omitempty"`
	Platform    string          `json:"platform,omitempty"`
	Attestation bool            `json:"attestation,omitempty"` // of another manifest of the index
	Attached    []attached.Item `json:"attached"`
	Manifests   []treeNode      `json:"manifests,omitempty"`
}

func (c *treeCommand) look(ctx context.Context, s *session, args []string) error {
	if !source.IsReference(args[0]) {
		return errors.New("show what is attached to " + args[0] + ": only registries know what refers to an image")
	}
	opened, err := source.Open(ctx, s.client, args[0])
	if err != nil {
		return err
	}
	finder := &attached.Finder{Client: s.client, Repository: *opened.Repository}
	doc := &treeDocument{Version: documentVersion, Name: args[0], treeNode: treeNode{Digest: opened.Digest.String(), MediaType: string(opened.MediaType)}}
	if doc.Attached, err = finder.Find(ctx, opened.Digest); err != nil {
		return err
	}
	if opened.Index != nil {
		if doc.Manifests, err = c.children(ctx, opened, finder); err != nil {
			return err
		}
	}
	return c.print(s, doc, func(w io.Writer) error {
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n%s\n", output.Plain(doc.Name), doc.title())
		doc.write(&b, "")
		_, err := io.WriteString(w, b.String())
		return err
	})
}

func (c *treeCommand) children(ctx context.Context, opened *source.Source, finder *attached.Finder) ([]treeNode, error) {
	all, err := opened.Descriptors()
	if err != nil {
		return nil, err
	}
	var chosen string
	if c.want != nil {
		images, err := opened.Images(c.want)
		if err != nil {
			return nil, err
		}
		chosen = images[0].Descriptor.Digest.String()
	}
	var nodes []treeNode
	for _, d := range all {
		if chosen != "" && d.Digest.String() != chosen {
			continue
		}
		n := treeNode{Digest: d.Digest.String(), MediaType: string(d.MediaType), Attestation: source.IsAttestation(d)}
		if d.Platform != nil && !n.Attestation {
			n.Platform = d.Platform.String()
		}
		if n.Attached, err = finder.Find(ctx, d.Digest); err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func (n *treeNode) title() string {
	what := n.Platform
	if n.Attestation {
		what = "attestation in the index"
	}
	return output.Plain(strings.TrimSpace(n.Digest + "  " + what))
}

// branch is what a tree draws before a child, and before what is below it.
func branch(last bool) (own, below string) {
	if last {
		return "└── ", "    "
	}
	return "├── ", "│   "
}

func (n *treeNode) write(b *strings.Builder, prefix string) {
	items(b, prefix, n.Attached, len(n.Manifests) == 0)
	for i := range n.Manifests {
		own, below := branch(i == len(n.Manifests)-1)
		fmt.Fprintf(b, "%s%s%s\n", prefix, own, n.Manifests[i].title())
		n.Manifests[i].write(b, prefix+below)
	}
}

// items writes what is attached; end says that nothing follows it.
func items(b *strings.Builder, prefix string, all []attached.Item, end bool) {
	for i, item := range all {
		own, below := branch(end && i == len(all)-1)
		kind := item.Predicate
		if kind == "" {
			kind = item.ArtifactType
		}
		if kind == "" {
			kind = item.MediaType
		}
		where := "refers"
		if item.Tag != "" {
			where = "tag " + item.Tag[max(0, strings.LastIndexByte(item.Tag, '.')):]
		}
		line := fmt.Sprintf("%s  %s  %s  %s (%s)", item.Kind, output.Short(item.Digest), output.Size(item.Size), kind, where)
		fmt.Fprintf(b, "%s%s%s\n", prefix, own, output.Plain(line))
		items(b, prefix+below, item.Referrers, true)
	}
}
