package buildcontext

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/archive"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/git"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// A Finder finds build contexts by their addresses.
type Finder struct {
	// Dir makes an empty directory that lives as long as what is found.
	Dir func() (string, error)
	// Stdin is what an archive or a Dockerfile is read from, once.
	Stdin io.Reader
	// Client is for http and https; nil is one with the process's proxies and authorities.
	Client *http.Client
	// Openers are the stores that an archive may be in, asked in this order.
	Openers []Opener
	Git     GitOptions
}

// An Opener opens archives in one kind of store.
type Opener struct {
	Form    string // of its addresses, for people: gs://BUCKET/PATH
	Handles func(*url.URL) bool
	Open    func(context.Context, *url.URL) (io.ReadCloser, error)
}

// GitOptions are how a repository is checked out that is a build context.
type GitOptions struct {
	// Method is the protocol by which git:// is fetched, "https" or "http"; empty is https.
	Method      string
	Credentials git.Credentials
	Branch      string // or tag, where the address names none; empty is the remote's HEAD
	Depth       int    // as in [git.Options]
	Submodules  bool   // check them out, unless the address says otherwise
	KeepGitDir  bool   // unless the address says otherwise
	SkipTLS     bool   // believe any certificate
}

// Kind is a kind of build context.
type Kind uint8

// The kinds.
const (
	Directory  Kind = iota + 1
	Archive         // a file of this machine
	Stdin           // an archive that is read from standard input
	Repository      // of git
	Web             // an archive on a web server
	Store           // an archive of which an [Opener] knows
)

// String is the kind in a word.
func (k Kind) String() string {
	switch k {
	case Directory:
		return "directory"
	case Archive:
		return "archive"
	case Stdin:
		return "stdin"
	case Repository:
		return "git"
	case Web:
		return "web"
	case Store:
		return "store"
	}
	return "unknown"
}

// Remote reports whether a build context is fetched over the network.
func (k Kind) Remote() bool { return k >= Repository }

// found is an address as it was read.
type found struct {
	kind   Kind
	rest   string // a path
	ref    git.Ref
	url    *url.URL
	opener Opener
}

// Kind tells what kind of build context an address names.
func (f *Finder) Kind(address string) (Kind, error) {
	a, err := f.read(address)
	return a.kind, err
}

func (f *Finder) read(address string) (found, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	switch {
	case ok && scheme == "dir":
		return found{kind: Directory, rest: rest}, nil
	case ok && scheme == "tar" && (rest == "stdin" || rest == "-"):
		return found{kind: Stdin}, nil
	case ok && scheme == "tar":
		return found{kind: Archive, rest: rest}, nil
	}
	method := f.Git.Method
	if method == "" {
		method = "https"
	}
	ref, err := git.ParseContext(address, method)
	switch {
	case err == nil:
		return found{kind: Repository, ref: ref}, nil
	case !errors.Is(err, git.ErrNotRepository):
		return found{}, err
	case !ok:
		return found{kind: Directory, rest: address}, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		// The error itself repeats all of it, and so the password.
		return found{}, &Error{Name: remote.Redact(address), Err: errors.New("it cannot be read as a URL"), Code: exitUsage}
	}
	for _, o := range f.Openers {
		if o.Handles(u) {
			return found{kind: Store, url: u, opener: o}, nil
		}
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		return found{kind: Web, url: u}, nil
	}
	return found{}, &Error{Name: remote.Redact(address), Err: fmt.Errorf("nothing is known of %s://", scheme), Code: exitUsage, Remedy: f.known()}
}

// known says what addresses there are.
func (f *Finder) known() string {
	forms := []string{"PATH", "dir://PATH", "tar://PATH", "tar://stdin"}
	for _, o := range f.Openers {
		forms = append(forms, o.Form)
	}
	forms = append(forms, "git://HOST/REPOSITORY", "ssh://HOST/REPOSITORY", "https://HOST/REPOSITORY.git")
	return "a build context is " + strings.Join(forms, ", ") + " or the https:// address of an archive"
}

// Find opens the build context at an address, and fetches it if it is elsewhere. It
// must be closed.
func (f *Finder) Find(ctx context.Context, address string) (*Location, error) {
	a, err := f.read(address)
	if err != nil {
		return nil, err
	}
	shown := remote.Redact(address)
	switch a.kind {
	case Directory:
		return locate(address, a.rest)
	case Repository:
		return f.repository(ctx, a.ref)
	case Stdin:
		r, done := interruptible(ctx, f.Stdin)
		defer done()
		return f.archive(ctx, shown, r)
	case Archive:
		shown = address
	}
	r, err := f.stream(ctx, a)
	if err != nil {
		return nil, f.refused(shown, err)
	}
	defer r.Close()
	return f.archive(ctx, shown, r)
}

// locate finds a directory of this machine.
func locate(name, dir string) (*Location, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, &Error{Name: name, Err: err}
	}
	// A mounted configMap is a farm of links, and its directory may be one too.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, &Error{Name: name, Err: reason(err), Remedy: "mount the build context there, or name it with --context"}
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, &Error{Name: name, Err: reason(err)}
	case !info.IsDir():
		return nil, &Error{Name: name, Err: errors.New("not a directory"), Remedy: "if it is a tar archive, write tar://" + dir}
	}
	return &Location{Name: dir, Dir: dir}, nil
}

// stream opens an archive that is not standard input.
func (f *Finder) stream(ctx context.Context, a found) (io.ReadCloser, error) {
	switch a.kind {
	case Store:
		return a.opener.Open(ctx, a.url)
	case Web:
		return remote.Stream(ctx, f.Client, a.url.String())
	}
	file, err := os.Open(a.rest)
	if err != nil {
		return nil, reason(err)
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		file.Close()
		return nil, errDirectory{a.rest}
	}
	return file, nil
}

// errDirectory is a directory where an archive was expected.
type errDirectory struct{ path string }

func (errDirectory) Error() string { return "it is a directory" }

// Hint says how it is meant.
func (e errDirectory) Hint() string { return "write dir://" + e.path }

// refused is why an archive cannot be opened.
func (f *Finder) refused(shown string, err error) error {
	var coder interface{ ExitCode() int }
	var status *remote.StatusError
	switch {
	case errors.As(err, &status) && status.ExitCode() == 77:
		return &Error{Name: shown, Err: err, Remedy: "write user and password into the address, https://USER:PASSWORD@HOST/…, or use one that is signed"}
	case errors.As(err, &coder):
		return err // it says itself what was attempted
	}
	return &Error{Name: shown, Err: err}
}

// archive keeps an archive.
func (f *Finder) archive(ctx context.Context, shown string, r io.Reader) (*Location, error) {
	dir, err := f.Dir()
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	files, err := archive.Read(ctx, io.TeeReader(r, sum), dir) // which reads to the end
	var bad *archive.Error
	switch {
	case errors.As(err, &bad):
		return nil, &Error{Name: shown, Err: err}
	case err != nil:
		return nil, err
	}
	return &Location{Name: shown, SHA256: hex.EncodeToString(sum.Sum(nil)), archive: files, kept: dir}, nil
}

// repository checks a repository out.
func (f *Finder) repository(ctx context.Context, ref git.Ref) (*Location, error) {
	o := f.Git
	if o.Branch != "" {
		if ref.Ref != "" && strings.TrimPrefix(ref.Ref, "refs/heads/") != strings.TrimPrefix(o.Branch, "refs/heads/") {
			return nil, &Error{Name: ref.String(), Err: fmt.Errorf("--git names another branch, %s", o.Branch), Code: exitUsage,
				Remedy: "name the branch in one place"}
		}
		ref.Ref = o.Branch
	}
	dir, err := f.Dir()
	if err != nil {
		return nil, err
	}
	g := git.Options{
		Credentials: o.Credentials, Client: f.client(), Depth: o.Depth,
		SkipSubmodules: !o.Submodules && (ref.Submodules == nil || !*ref.Submodules),
	}
	if o.KeepGitDir && ref.KeepGitDir == nil {
		g.KeepGitDir = &o.KeepGitDir
	}
	commit, err := git.Fetch(ctx, ref, dir, g)
	if err != nil {
		return nil, err
	}
	return &Location{Name: ref.String(), Dir: dir, Fetched: true, Commit: commit}, nil
}

// client is what repositories are fetched by.
func (f *Finder) client() *http.Client {
	if !f.Git.SkipTLS {
		return f.Client
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // as the user said
	return &http.Client{Transport: transport}
}
