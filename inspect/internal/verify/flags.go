package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/inspect/internal/signed"
)

// Policy is what is asked of images. Its fields are flags, and a policy file has the
// same names; [Policy.Prepare] reads the rest.
type Policy struct {
	Digest string
	AlsoAt []string

	Key              string
	Identity         string
	IdentityPattern  string
	Issuer           string
	IssuerPattern    string
	TrustedRoot      string
	IgnoreTlog       bool
	RequireTlog      bool
	IgnoreSCT        bool
	SignedNotes      []string
	SignedRecursive  bool
	Provenance       bool
	BuilderID        string
	SourceURI        string
	SourceCommit     string
	Dependencies     []string
	BaseInProvenance bool
	SBOM             []string

	Base        bool
	BaseImage   string
	BaseCurrent bool

	Rebuild       string
	RebuildPreset string
	RebuildRules  []string

	EStargz    string
	EStargzAll bool

	Platforms       []string
	NonRoot         bool
	NoSecrets       bool
	SecretPatterns  []string
	SecretAllow     []string
	Labels          []string
	Created         string
	MaxLayers       int
	MaxSize         string
	NoForeignLayers bool
	OCIMediaTypes   bool

	flags    *pflag.FlagSet
	trust    *signed.Trust // nil if nobody has to have signed
	notes    map[string]string
	rules    []compare.Rule
	secrets  []*regexp.Regexp
	created  time.Time
	maxBytes int64
	wanted   []v1.Platform
}

// Bind makes the flags.
func (p *Policy) Bind(all *pflag.FlagSet) {
	fs := pflag.NewFlagSet("policy", pflag.ContinueOnError)
	p.flags = fs
	fs.StringVar(&p.Digest, "digest", "", "`digest` that REF has to be")
	fs.StringArrayVar(&p.AlsoAt, "also-at", nil, "`reference` that has to be the same digest; only asked, not fetched; repeatable")

	fs.StringVar(&p.Key, "key", "", "`file` with the public key, in PEM, that has to have signed the image and what is said of it")
	fs.StringVar(&p.Identity, "certificate-identity", "", "`name` of who has to have signed, in the certificate")
	fs.StringVar(&p.IdentityPattern, "certificate-identity-regexp", "", "`pattern` of that name; ^ and $ bind it to the whole")
	fs.StringVar(&p.Issuer, "certificate-oidc-issuer", "", "`address` of who has to have vouched for the name")
	fs.StringVar(&p.IssuerPattern, "certificate-oidc-issuer-regexp", "", "`pattern` of that address")
	fs.StringVar(&p.TrustedRoot, "trusted-root", "", "`file` with the authorities and logs to believe: sigstore's trusted_root.json")
	fs.BoolVar(&p.IgnoreTlog, "insecure-ignore-tlog", false, "with a certificate, do without an entry of a transparency log; a timestamp has to say when it was signed then")
	fs.BoolVar(&p.RequireTlog, "require-tlog", false, "with a key, ask for an entry of a transparency log too")
	fs.BoolVar(&p.IgnoreSCT, "insecure-ignore-sct", false, "do without the proof that a certificate is in a log of certificates")
	fs.StringArrayVar(&p.SignedNotes, "annotation", nil, "`KEY=VALUE` that has to be signed with the image; repeatable")
	fs.BoolVar(&p.SignedRecursive, "signature-recursive", false, "ask for signatures of an index's images as well")

	fs.BoolVar(&p.Provenance, "provenance", false, "ask for SLSA's provenance of the image")
	fs.StringVar(&p.BuilderID, "builder-id", "", "`URI` of who has to have built it, by the provenance")
	fs.StringVar(&p.SourceURI, "source-uri", "", "`address` of the repository it has to be built from, by the provenance")
	fs.StringVar(&p.SourceCommit, "source-commit", "", "`commit` it has to be built from, by the provenance")
	fs.StringArrayVar(&p.Dependencies, "dependency", nil, "`digest` of what has to be among the provenance's resolved dependencies; repeatable")
	fs.BoolVar(&p.BaseInProvenance, "base-in-provenance", false, "the base that the image names has to be among them")
	fs.StringSliceVar(&p.SBOM, "sbom", nil, "`form` of the list of software that has to be attached: spdx, cyclonedx or any; repeatable")

	fs.BoolVar(&p.Base, "base", false, "the image has to name its base, and to lie on that base's layers")
	fs.StringVar(&p.BaseImage, "base-image", "", "`image` on whose layers it has to lie")
	fs.BoolVar(&p.BaseCurrent, "base-current", false, "the base's name has to stand for what the image was built from still")

	fs.StringVar(&p.Rebuild, "rebuild", "", "`REF` of a second build, which has to be the same")
	fs.StringVar(&p.RebuildPreset, "rebuild-preset", compare.Strict, "which differences from it count: strict, semantic or content, as of inspect diff")
	fs.StringArrayVar(&p.RebuildRules, "rebuild-rules", nil, "YAML `file` of differences from it that do not count; repeatable")

	fs.StringVar(&p.EStargz, "estargz", "", "check layers with an index: `index`, or full to read each file by it")
	fs.BoolVar(&p.EStargzAll, "estargz-all", false, "all layers have to have an index")

	fs.StringSliceVar(&p.Platforms, "platforms", nil, "`platforms` that it has to be for, these and no others")
	fs.BoolVar(&p.NonRoot, "non-root", false, "it must not be run as root")
	fs.BoolVar(&p.NoSecrets, "no-secrets", false, "variables, labels, commands and the history must have no secrets")
	fs.StringArrayVar(&p.SecretPatterns, "secret-pattern", nil, "`pattern` of more that is a secret; repeatable")
	fs.StringArrayVar(&p.SecretAllow, "secret-allow", nil, "`name` of a variable or label that is none; repeatable")
	fs.StringArrayVar(&p.Labels, "label", nil, "`NAME[=VALUE]` of a label it has to have; repeatable")
	fs.StringVar(&p.Created, "created", "", "`time` it has to be made at, as seconds since 1970 or as RFC 3339 has it")
	fs.IntVar(&p.MaxLayers, "max-layers", 0, "`number` of layers it may have")
	fs.StringVar(&p.MaxSize, "max-size", "", "`size` that its layers may have together, compressed, such as 200MB or 200MiB")
	fs.BoolVar(&p.NoForeignLayers, "no-foreign-layers", false, "it must have no layers that are to be fetched from elsewhere")
	fs.BoolVar(&p.OCIMediaTypes, "oci-media-types", false, "manifests, configurations and layers have to be of OCI's types")
	all.AddFlagSet(fs)
}

// given visits the flags that have a value of the user's, from wherever. A set knows by
// itself only of those that it has parsed.
func (p *Policy) given(visit func(*pflag.Flag)) {
	p.flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			visit(f)
		}
	})
}

// asked are the flags that were given, or are in the policy file, with their values.
func (p *Policy) asked() map[string][]string {
	out := map[string][]string{}
	p.given(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			out[f.Name] = list.GetSlice()
			return
		}
		out[f.Name] = []string{f.Value.String()}
	})
	return out
}

// Read reads a policy file: YAML, a map of flags' names and their values. What a flag on
// the command line says, the file cannot change.
func (p *Policy) Read(name string) error {
	raw, err := readFile("the policy", name)
	if err != nil {
		return err
	}
	if err := p.parse(raw); err != nil {
		return &FileError{"the policy", name, err}
	}
	return nil
}

func (p *Policy) parse(raw []byte) error {
	var doc yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("it is empty")
		}
		return err
	}
	if d.Decode(new(yaml.Node)) == nil {
		return errors.New("it is more than one document")
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return errors.New("it is not a map")
	}
	given := map[string]bool{}
	p.given(func(f *pflag.Flag) { given[f.Name] = true })
	seen := map[string]bool{}
	pairs := doc.Content[0].Content
	for i := 0; i+1 < len(pairs); i += 2 {
		key, value := pairs[i], pairs[i+1]
		f := p.flags.Lookup(key.Value)
		switch {
		case f == nil:
			return fmt.Errorf("line %d: there is no check %q", key.Line, key.Value)
		case seen[key.Value]:
			return fmt.Errorf("line %d: %q is there twice", key.Line, key.Value)
		case given[key.Value]:
			continue
		}
		seen[key.Value] = true
		if err := p.set(f, value); err != nil {
			return fmt.Errorf("line %d: %s: %w", value.Line, key.Value, err)
		}
	}
	return nil
}

func (p *Policy) set(f *pflag.Flag, value *yaml.Node) error {
	values := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		if _, ok := f.Value.(pflag.SliceValue); !ok {
			return errors.New("it takes one value, not a list")
		}
		values = value.Content
	}
	for _, v := range values {
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			return errors.New("a value must be a text, a number or true")
		}
		if err := p.flags.Set(f.Name, v.Value); err != nil {
			return err
		}
	}
	return nil
}
