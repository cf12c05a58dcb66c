package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
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
sha256-DIGEST where the registry keeps none, under the tags of cosign (.sig, .att,
.sbom), and among the images of the index, as BuildKit does it. REF is a
reference.

` + usualCodes,
		Args: cobra.ExactArgs(1),
		RunE: runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, allPlatforms)
	c.bindOutput(fs)
	c.access.bind(fs)
	return cmd
}

// treeDocument is the answer.
type treeDocument struct {
	header
	MediaType string          `json:"mediaType,omitempty"`
	Attached  []attached.Item `json:"attached"`
	Manifests []treeNode      `json:"manifests,omitempty"`
}

// treeNode is a manifest of an index.
type treeNode struct {
	Digest      string          `json:"digest"`
	MediaType   string          `json:"mediaType,omitempty"`
	Platform    string          `json:"platform,omitempty"`
	Attestation bool            `json:"attestation,omitempty"` // of another manifest of the index
	Attached    []attached.Item `json:"attached"`
}

func (c *treeCommand) look(ctx context.Context, s *session, args []string) error {
	if !source.IsReference(args[0]) {
		return toolError{fmt.Errorf("show what is attached to %s: only registries know what refers to an image", args[0])}
	}
	opened, err := source.Open(ctx, s.client, args[0])
	if err != nil {
		return err
	}
	finder := &attached.Finder{Client: s.client, Repository: *opened.Repository}
	doc := &treeDocument{header: header{Version: documentVersion, Name: args[0], Digest: opened.Digest.String()}, MediaType: string(opened.MediaType)}
	if doc.Attached, err = finder.Find(ctx, opened.Digest); err != nil {
		return err
	}
	if opened.Index != nil {
		if doc.Manifests, err = c.manifests(ctx, opened, finder); err != nil {
			return err
		}
	}
	return c.print(s, doc)
}

// manifests are those of an index, each with what is attached to it or, of an
// attestation, with what it says.
func (c *treeCommand) manifests(ctx context.Context, opened *source.Source, finder *attached.Finder) ([]treeNode, error) {
	all, err := c.chosen(opened)
	if err != nil {
		return nil, err
	}
	said, err := attached.InIndex(opened)
	if err != nil {
		return nil, err
	}
	var nodes []treeNode
	for _, d := range all {
		n := treeNode{Digest: d.Digest.String(), MediaType: string(d.MediaType), Attestation: source.IsAttestation(d), Attached: []attached.Item{}}
		if d.Platform != nil && !n.Attestation {
			n.Platform = d.Platform.String()
		}
		beside, err := finder.Find(ctx, d.Digest)
		if err != nil {
			return nil, err
		}
		n.Attached = append(append(n.Attached, said[n.Digest]...), beside...)
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// chosen are the manifests of an index that are shown: all of them, or the image for the
// platform and what is said of it.
func (c *treeCommand) chosen(opened *source.Source) ([]v1.Descriptor, error) {
	all, err := opened.Descriptors()
	if err != nil || c.want == nil {
		return all, err
	}
	images, err := opened.Images(c.want)
	if err != nil {
		return nil, err
	}
	digest := images[0].Descriptor.Digest
	return slices.DeleteFunc(slices.Clone(all), func(d v1.Descriptor) bool { return d.Digest != digest && attached.About(d) != digest.String() }), nil
}

func (d *treeDocument) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", output.Plain(d.Name), output.Plain(d.Digest))
	items(&b, "", d.Attached, len(d.Manifests) == 0)
	for i, m := range d.Manifests {
		own, below := branch(i == len(d.Manifests)-1)
		fmt.Fprintf(&b, "%s%s\n", own, m.title())
		items(&b, below, m.Attached, true)
	}
	return b.String()
}

func (n *treeNode) title() string {
	what := n.Platform
	if n.Attestation {
		what = "attestation of the index"
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

// items writes what is attached; end says that nothing follows it.
func items(b *strings.Builder, prefix string, all []attached.Item, end bool) {
	for i, item := range all {
		own, below := branch(end && i == len(all)-1)
		fmt.Fprintf(b, "%s%s%s\n", prefix, own, output.Plain(line(item)))
		items(b, prefix+below, item.Referrers, true)
	}
}

// line says what is attached, and how.
func line(i attached.Item) string {
	how := "refers"
	switch {
	case i.Tag != "":
		how = "tag " + i.Tag[max(0, strings.LastIndexByte(i.Tag, '.')):]
	case i.InIndex != "":
		how = "in the index"
	}
	return fmt.Sprintf("%s  %s  %s  %s (%s)", i.Kind, output.Short(i.Digest), output.Size(i.Size), cmp.Or(i.Predicate, i.ArtifactType, i.MediaType), how)
}
