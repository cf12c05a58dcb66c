package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/git"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/store"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// keepGitArg is the build argument that keeps .git, as BuildKit has it.
const keepGitArg = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"

// contextFlags say where the build context is.
type contextFlags struct {
	address string
	given   func() bool // whether the address is the user's
	bucket  string
	sub     string
	git     gitFlag
}

func (f *contextFlags) bind(fs *pflag.FlagSet) {
	fs.StringVarP(&f.address, "context", "c", "/workspace", "`address` of the build context: a directory, tar://PATH, tar://stdin, a git repository, or an archive on the web or in an object store")
	f.given = func() bool { return fs.Changed("context") }
	fs.StringVarP(&f.bucket, "bucket", "b", "", "`bucket` of Google Cloud Storage that --context is a path in")
	fs.Lookup("bucket").Hidden = true
	fs.StringVar(&f.sub, "context-sub-path", "", "`directory` of the build context that is used in place of the whole")
	fs.Var(&f.git, "git", "`branch=,recurse-submodules=,insecure-skip-tls=,depth=,single-branch=`: how a git repository is checked out")
}

// check finds what is wrong with the flags taken together.
func (f *contextFlags) check() error {
	if f.bucket != "" && f.given() && strings.Contains(f.address, "://") {
		return fmt.Errorf("--bucket and --context=%s contradict each other", remote.Redact(f.address))
	}
	return nil
}

// where is the address that the flags come to. A bucket is kaniko's first way of
// saying gs://.
func (f *contextFlags) where() string {
	if f.bucket == "" {
		return f.address
	}
	bucket := strings.TrimSuffix(f.bucket, "/")
	if !strings.Contains(bucket, "://") {
		bucket = "gs://" + bucket
	}
	if !f.given() {
		return bucket + "/context.tar.gz"
	}
	return bucket + "/" + strings.TrimPrefix(f.address, "/")
}

// openers are the stores that a build context may be in.
func (b *builder) openers() []buildcontext.Opener {
	var all []buildcontext.Opener
	for _, s := range b.flags.clouds.Stores(store.Options{Getenv: b.env.Getenv, UserAgent: userAgent(b.env.Getenv)}) {
		all = append(all, buildcontext.Opener{Form: s.Form, Handles: s.Handles, Open: s.Open})
	}
	return all
}

// finder finds build contexts. Those that are named follow the defaults of ADD where
// kaniko's flags speak of --context.
func (b *builder) finder(named bool) (*buildcontext.Finder, error) {
	f := &buildcontext.Finder{Dir: b.contextDir, Stdin: b.env.Stdin, Openers: b.openers()}
	switch method := b.env.Getenv("GIT_PULL_METHOD"); method {
	case "", "https", "http":
		f.Git.Method = method
	default:
		return nil, &methodError{method}
	}
	if named {
		f.Git.Credentials, f.Git.Submodules = b.gitCredentials(), true
		return f, nil
	}
	o := b.flags.context.git
	f.Git.Credentials = git.FromEnvironment(b.env.Getenv)
	f.Git.Branch, f.Git.Depth, f.Git.Submodules, f.Git.SkipTLS = o.branch, o.depth, o.submodules, o.skipTLS
	f.Git.KeepGitDir = isTrue(b.flags.args(b.env.LookupEnv)[keepGitArg])
	return f, nil
}

// gitCredentials are those of the environment. They are for the build context, if it
// is a repository, and then for no other host.
func (b *builder) gitCredentials() git.Credentials {
	c := git.FromEnvironment(b.env.Getenv)
	if ref, err := git.ParseContext(b.flags.context.where(), "https"); err == nil {
		c.Host = ref.Host()
	}
	return c
}

// methodError is a GIT_PULL_METHOD that is none.
type methodError struct{ method string }

func (e *methodError) Error() string {
	return fmt.Sprintf("GIT_PULL_METHOD is %q: it must be https or http", e.method)
}

// ExitCode is that of a wrong configuration.
func (e *methodError) ExitCode() int { return 78 }

// readsStdin reports whether the build context or the Dockerfile is standard input.
func (b *builder) readsStdin() bool {
	kind, err := (&buildcontext.Finder{}).Kind(b.flags.context.where())
	return err == nil && kind == buildcontext.Stdin || buildcontext.ReadsStdin(b.flags.dockerfile)
}

// find finds the build context and the Dockerfile, or takes them over from the process
// that did. Where the default build context is not there, anywhere serves that has the
// Dockerfile.
func (b *builder) find(ctx context.Context, anywhere bool) (err error) {
	if b.contexts, err = b.namedContexts(ctx); err != nil {
		return err
	}
	if len(b.carried.Dir) > 0 {
		b.context, b.dockerfile, err = buildcontext.TakeOver(string(b.carried.Dir))
	} else {
		err = b.past.Do("context", b.contextKind, func() error { return b.findAnew(ctx, anywhere) })
	}
	if err != nil {
		return err
	}
	b.env.Page.Source = b.dockerfile.Text
	return nil
}

// contextKind is in a word where the build context is.
func (b *builder) contextKind() string {
	finder, err := b.finder(false)
	if err != nil {
		return ""
	}
	kind, err := finder.Kind(b.flags.context.where())
	if err != nil {
		return ""
	}
	return kind.String()
}

func (b *builder) findAnew(ctx context.Context, anywhere bool) error {
	finder, err := b.finder(false)
	if err != nil {
		return err
	}
	address := b.flags.context.where()
	if kind, err := finder.Kind(address); err == nil && kind == buildcontext.Stdin && buildcontext.ReadsStdin(b.flags.dockerfile) {
		return errStdin
	}
	b.context, err = b.fetchContext(ctx, address, false)
	if err != nil && anywhere {
		b.context, err = b.fetchContext(ctx, ".", false)
	}
	if err != nil {
		return err
	}
	if err := b.context.Below(b.flags.context.sub); err != nil {
		return err
	}
	b.dockerfile, err = finder.Dockerfile(ctx, b.context, b.flags.dockerfile)
	return err
}

// fetchContext finds one build context.
func (b *builder) fetchContext(ctx context.Context, address string, named bool) (*buildcontext.Location, error) {
	finder, err := b.finder(named)
	if err != nil {
		return nil, err
	}
	kind, err := finder.Kind(address)
	if err != nil {
		return nil, err
	}
	if kind.Remote() && b.flags.cache.offline {
		return nil, offlineError{address}
	}
	switch {
	case kind == buildcontext.Archive:
		b.env.Log.Info("reading the build context " + address)
	case kind != buildcontext.Directory:
		b.env.Log.Info("reading the build context " + remote.Redact(address))
	}
	if b.flags.context.git.singleBranch && kind == buildcontext.Repository && !named {
		b.env.Log.Info("--git single-branch has no effect: one commit is fetched, whatever the branches are")
	}
	return finder.Find(ctx, address)
}

// errStdin is a command line that would read standard input twice.
var errStdin = &stdinError{}

type stdinError struct{}

func (*stdinError) Error() string {
	return "read standard input: --context and --dockerfile both name it, and it can be read once only"
}

// ExitCode is that of a wrong command line.
func (*stdinError) ExitCode() int { return 64 }

// Hint says what to do instead.
func (*stdinError) Hint() string { return "put the Dockerfile into the archive" }

// makeWork makes the directory that holds what is under way, if it is not there.
func (b *builder) makeWork() (err error) {
	if b.work == nil {
		b.work, err = b.workDir()
	}
	return err
}

// contextDir makes a directory for what a build context consists of.
func (b *builder) contextDir() (string, error) {
	if err := b.makeWork(); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(b.work.Path, "context-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the build context: %w", err)
	}
	return dir, nil
}

// ownPaths are the directories of this build, and the files that tell of it, which no
// build context has.
func (b *builder) ownPaths() []string {
	own := b.flags.ownFiles()
	if b.work != nil {
		own = append(own, b.work.Path)
	}
	if len(b.carried.Dir) > 0 {
		own = append(own, string(b.carried.Dir))
	}
	return own
}

// handOver leaves what was found for the process inside namespaces, unless that can
// find it by itself, and the time that was spent on it.
func (b *builder) handOver() ([]byte, error) {
	if b.work == nil && b.dockerfile.Origin != buildcontext.Elsewhere {
		// What is found once more there is told of from there.
		return carried{Past: trace.Past{Started: b.past.Started}}.marshal()
	}
	if err := b.makeWork(); err != nil {
		return nil, err
	}
	if err := buildcontext.HandOver(b.work.Path, b.context, b.dockerfile); err != nil {
		return nil, err
	}
	past := trace.Past{Started: b.past.Started}
	for _, part := range b.past.Parts {
		if part.Name == "context" { // the rest is done again
			past.Parts = append(past.Parts, part)
		}
	}
	return carried{Dir: []byte(b.work.Path), Past: past}.marshal()
}

// leave closes what find has opened, and removes what is under way.
func (b *builder) leave() error {
	var err error
	for _, l := range append(b.opened, b.context) {
		err = errors.Join(err, l.Close())
	}
	b.opened, b.context = nil, nil
	if b.work != nil {
		err = errors.Join(err, b.work.Close())
		b.work = nil
	}
	return err
}
