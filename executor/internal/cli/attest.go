package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/executor/internal/attest"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/git"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/image"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// attestFlags say what is to be told of the image.
type attestFlags struct {
	formats    []string
	provenance bool
	builder    string
	dir        string
}

func (f *attestFlags) bind(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.formats, "sbom", nil, "attach a list of the image's software to it, in this `format`: --sbom=spdx, which is meant without a value, or --sbom=cyclonedx; repeatable, or with commas")
	fs.Lookup("sbom").NoOptDefVal = "spdx"
	fs.BoolVar(&f.provenance, "provenance", false, "attach to the image what it was built from, and how, in SLSA's form")
	fs.StringVar(&f.builder, "builder-id", "", "`URI` of whoever builds, for the provenance (default one that names this program)")
	fs.StringVar(&f.dir, "attestation-dir", "", "`directory` to write lists of software and provenance to")
}

// check finds what is wrong with the flags; pushes is whether there will be anything
// in a registry.
func (f *attestFlags) check(pushes bool) error {
	if _, err := attest.ParseFormats(f.formats); err != nil {
		return fmt.Errorf("--sbom: %w", err)
	}
	switch asked := len(f.formats) > 0 || f.provenance; {
	case f.builder != "" && !f.provenance:
		return errors.New("--builder-id is for --provenance, which is not given")
	case f.dir != "" && !asked:
		return errors.New("--attestation-dir has nothing to hold: give --sbom or --provenance")
	case asked && f.dir == "" && !pushes:
		return errors.New("--sbom and --provenance have no pushed image to be attached to: give --attestation-dir to have them as files")
	}
	if u, err := url.Parse(f.builder); f.builder != "" && (err != nil || u.Scheme == "" || u.User != nil) {
		return errors.New("--builder-id is no URI without user and password")
	}
	return nil
}

// noArgs finds words that belong to no flag, and the one that was meant as a flag's.
func noArgs(cmd *cobra.Command, words []string) error {
	if _, err := attest.ParseFormats(words); err == nil && len(words) > 0 {
		return fmt.Errorf("the value of --sbom stands behind an equals sign: --sbom=%s", words[0])
	}
	return cobra.NoArgs(cmd, words)
}

// testimony is what is told of the images of a build: it knows of each what it was
// built from.
type testimony struct {
	builder   *builder
	documents *attest.Documents
	files     *attest.Files // nil if none are written
	all       []variant
	config    engine.Config
	current   variant // that is being built
	by        map[v1.Hash]variant
}

// testimony is what the flags ask to be told; nil is nothing.
func (b *builder) testimony(all []variant) (*testimony, error) {
	formats, err := attest.ParseFormats(b.flags.attest.formats)
	if err != nil || len(formats) == 0 && !b.flags.attest.provenance {
		return nil, err
	}
	t := &testimony{builder: b, all: all, by: map[v1.Hash]variant{}}
	t.documents = &attest.Documents{
		Formats: formats, Tool: "kaniko-executor", Version: strings.TrimPrefix(command.Release, "v"), Spool: b.work.Path,
	}
	if len(b.flags.out.destinations) > 0 {
		tag, err := b.client.Tag(b.flags.out.destinations[0])
		if err != nil {
			return nil, err
		}
		t.documents.Name = tag.Context().Name()
	}
	if b.flags.attest.provenance {
		t.documents.Provenance = t.build
	}
	if dir := b.flags.attest.dir; dir != "" {
		t.files = &attest.Files{Dir: dir, Documents: t.documents}
	}
	return t, nil
}

// attach adds to attachers the one that attaches it. If one of them signs, it signs this
// as well.
func (t *testimony) attach(all []exporter.Attacher) []exporter.Attacher {
	if t == nil {
		return all
	}
	log := t.builder.env.Log
	return append(all, &attest.Attacher{
		Client: t.builder.client, Documents: t.documents, Signer: signerOf(all),
		Attached: func(s exporter.Subject, predicateType string) {
			log.Info("attached " + predicateType + " to " + s.Repository.Name() + "@" + s.Descriptor.Digest.String())
		},
	})
}

// signerOf is the attacher that signs statements; nil if none does.
func signerOf(all []exporter.Attacher) attest.Signer {
	for _, a := range all {
		if s, ok := a.(attest.Signer); ok {
			return s
		}
	}
	return nil
}

// of notes what the next image is.
func (t *testimony) of(v variant, c engine.Config) {
	if t != nil {
		t.current, t.config = v, c
	}
}

// witnessed is an exporter whose images are told of.
type witnessed struct {
	engine.Exporter
	testimony *testimony
}

// witness has images told of that go through e.
func (t *testimony) witness(e engine.Exporter) engine.Exporter {
	if t == nil {
		return e
	}
	return &witnessed{e, t}
}

// Image exports, and then writes files, while the layers can be read.
func (w *witnessed) Image(ctx context.Context, img v1.Image) error {
	t := w.testimony
	at, err := image.Describe(img)
	if err != nil {
		return err
	}
	t.by[at.Digest] = t.current
	if err := w.Exporter.Image(ctx, img); err != nil || t.files == nil {
		return err
	}
	if len(t.all) == 1 {
		at.Platform = nil
	}
	return t.files.Write(ctx, at, img)
}

// index writes files of the index that the images came to, if that is one.
func (t *testimony) index(ctx context.Context, digest v1.Hash) error {
	if t == nil || t.files == nil || len(t.all) == 1 {
		return nil
	}
	return t.files.Write(ctx, v1.Descriptor{Digest: digest}, nil)
}

// build tells how an image came to be; one that is none of the images is their index.
func (t *testimony) build(digest v1.Hash) attest.Build {
	b := t.builder
	of := t.all
	if v, ok := t.by[digest]; ok {
		of = []variant{v}
	}
	version := command.ReadVersion()
	made := attest.Build{
		External: b.external(of), Internal: b.internal(t.config), Dependencies: b.inputs(),
		Builder: attest.BuilderID, Invocation: attest.Invocation(b.env.Getenv),
		Versions: map[string]string{"kaniko": version.Release, "go": version.Go},
	}
	if version.Revision != "" {
		made.Versions["revision"] = version.Revision
	}
	if id := b.flags.attest.builder; id != "" {
		made.Builder = id
	}
	for _, v := range of {
		made.Dependencies = append(made.Dependencies, attest.Dependencies(v.plan, b.remotes.known())...)
	}
	if !t.config.Clamp {
		made.Started, made.Finished = b.past.Started, time.Now()
	}
	return made
}

// external is what the user has chosen, without values that may be secret.
func (b *builder) external(of []variant) attest.External {
	x := attest.External{
		Context:    attest.Source{URI: b.contextURI(), SubPath: b.flags.context.sub},
		Dockerfile: remote.Redact(b.flags.dockerfile),
		Targets:    b.flags.targets,
		Contexts:   map[string]string{},
	}
	for _, v := range of {
		x.Platforms = append(x.Platforms, v.name())
	}
	for _, arg := range slices.Sorted(maps.Keys(b.flags.args(b.env.LookupEnv))) {
		if !isProxyArg(arg) {
			x.Arguments = append(x.Arguments, arg)
		}
	}
	for _, text := range b.flags.contexts {
		name, value, _ := strings.Cut(text, "=")
		x.Contexts[name] = shown(value)
	}
	return x
}

// isProxyArg tells the arguments on which nothing depends.
func isProxyArg(name string) bool {
	switch strings.ToLower(name) {
	case "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy":
		return true
	}
	return false
}

// contextURI is where the build context is, without credentials.
func (b *builder) contextURI() string {
	if b.context.Commit != "" {
		return b.context.Name // with the branch that --git names
	}
	return shown(b.flags.context.where())
}

// shown is an address without credentials.
func shown(address string) string {
	if ref, err := git.ParseContext(address, "https"); err == nil {
		return ref.String()
	}
	return remote.Redact(address)
}

// internal is how this builder was set.
func (b *builder) internal(c engine.Config) attest.Internal {
	in := attest.Internal{
		Compression: b.flags.out.compression, Level: max(0, b.flags.out.level), Format: b.flags.out.format,
		Reproducible: b.flags.reproducible, SingleSnapshot: b.flags.singleSnapshot, SnapshotMode: b.flags.snapshotMode,
		Isolation: b.flags.isolation, IgnoredPaths: b.flags.ignoredPaths, Cache: b.flags.cache.on,
	}
	if c.Clamp {
		epoch := c.Created.Unix()
		in.Epoch = &epoch
	}
	return in
}

// inputs are the build contexts and the Dockerfile.
func (b *builder) inputs() []attest.Resource {
	all := []attest.Resource{{Name: "dockerfile", Digest: attest.SHA256(b.dockerfile.Text)}}
	if r, ok := source("context", b.contextURI(), b.context.Commit, b.context.SHA256); ok {
		all = append(all, r)
	}
	for _, name := range slices.Sorted(maps.Keys(b.fetched)) { // of those that are images the plan tells
		at := b.fetched[name]
		if r, ok := source("context "+name, shown(b.contexts[name].address), at.Commit, at.SHA256); ok {
			all = append(all, r)
		}
	}
	return all
}

// source is a build context, if more is known of it than where it was.
func source(name, uri, commit, sum string) (attest.Resource, bool) {
	switch {
	case commit != "":
		return attest.Resource{Name: name, URI: uri, Digest: attest.Commit(commit)}, true
	case sum != "":
		return attest.Resource{Name: name, URI: uri, Digest: map[string]string{"sha256": sum}}, true
	}
	return attest.Resource{}, false
}

// remotes are digests of what ADD fetched, by its address. It is safe for use by several
// goroutines.
type remotes struct {
	mu  sync.Mutex
	all map[string]map[string]string
}

func (r *remotes) note(of plan.Remote, digest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[string]map[string]string{}
	}
	if algorithm, hex, ok := strings.Cut(digest, ":"); ok && !of.Git {
		r.all[of.URL] = map[string]string{algorithm: hex}
	} else if of.Git {
		r.all[of.URL] = attest.Commit(digest)
	}
}

func (r *remotes) known() map[string]map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.all)
}
