package cli

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/command"
)

type digestCommand struct {
	looking
	recursive bool
	expect    string
	expected  v1.Hash
}

func newDigest(env *command.Env) *cobra.Command {
	d := &digestCommand{}
	cmd := &cobra.Command{
		Use:   "digest REF",
		Short: "Print the digest that a name stands for",
		Long: `digest prints the digest of the image or index that a name stands for; with
--platform, that of the index's image for it; with --recursive, also those of
all that an index lists. Of a reference, without the last two, it asks one
question and fetches nothing.

` + names + `

Exit codes: 0; 1 if the digest is not the one of --expect; 2 if the command line
is wrong or something did not work; 5 if the image is not there, or the registry
does not allow to see it.`,
		Example: `  inspect digest registry.example/app:1
  inspect digest --expect sha256:… registry.example/app:1`,
		Args: cobra.ExactArgs(1),
		RunE: runs(env, &d.access, d),
	}
	fs := cmd.Flags()
	d.bindPlatform(fs, "`platform` whose image is meant, if REF is an index")
	fs.BoolVar(&d.recursive, "recursive", false, "print what an index lists as well, a line each")
	fs.StringVar(&d.expect, "expect", "", "`digest` that it has to be; if it is another, end in status 1")
	d.bindOutput(fs)
	d.access.bind(fs)
	return cmd
}

func (d *digestCommand) check() (err error) {
	if d.expect != "" {
		if d.expected, err = v1.NewHash(d.expect); err != nil {
			return fmt.Errorf("--expect: %w", err)
		}
	}
	if d.recursive && d.platform != "" {
		return fmt.Errorf("--recursive prints all platforms: it and --platform exclude each other")
	}
	return d.looking.check()
}

// digestDocument is the answer.
type digestDocument struct {
	header
	Expected  string        `json:"expected,omitempty"`
	Manifests []digestEntry `json:"manifests,omitempty"`
}

type digestEntry struct {
	Digest      string `json:"digest"`
	MediaType   string `json:"mediaType,omitempty"`
	Platform    string `json:"platform,omitempty"`
	Attestation bool   `json:"attestation,omitempty"`
}

func (d *digestCommand) look(ctx context.Context, s *session, args []string) error {
	doc, err := d.answer(ctx, s, args[0])
	if err != nil {
		return err
	}
	if err := d.print(s, doc); err != nil {
		return err
	}
	if d.expect != "" && doc.Digest != d.expected.String() {
		s.env.Log.Error("the digest is not the expected one", "name", doc.Name, "digest", doc.Digest, "expected", d.expect)
		return command.Status(exitNo)
	}
	return nil
}

func (d *digestCommand) answer(ctx context.Context, s *session, spec string) (*digestDocument, error) {
	doc := &digestDocument{header: header{Version: documentVersion, Name: spec}, Expected: d.expect}
	if source.IsReference(spec) && d.want == nil && !d.recursive {
		h, err := s.client.Head(ctx, spec)
		if err != nil {
			return nil, err
		}
		doc.Digest = h.String()
		return doc, nil
	}
	opened, err := source.Open(ctx, s.client, spec)
	if err != nil {
		return nil, err
	}
	doc.Digest = opened.Digest.String()
	if d.want != nil {
		all, err := opened.Images(d.want)
		if err != nil {
			return nil, err
		}
		doc.header = headerOf(spec, all[0])
	}
	if d.recursive && opened.Index != nil {
		return doc, doc.list(opened)
	}
	return doc, nil
}

// list adds what an index lists.
func (d *digestDocument) list(index *source.Source) error {
	all, err := index.Descriptors()
	if err != nil {
		return err
	}
	for _, m := range all {
		e := digestEntry{Digest: m.Digest.String(), MediaType: string(m.MediaType), Attestation: source.IsAttestation(m)}
		if m.Platform != nil && !e.Attestation {
			e.Platform = m.Platform.String()
		}
		d.Manifests = append(d.Manifests, e)
	}
	return nil
}

func (d *digestDocument) table() string {
	rows := output.NewRows()
	rows.Add(d.Digest)
	for _, m := range d.Manifests {
		what := m.Platform
		if m.Attestation {
			what = "attestation"
		}
		rows.Add(m.Digest, what)
	}
	return rows.String()
}
