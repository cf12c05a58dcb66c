// Package git fetches what ADD or a build context names in a git repository: one
// commit, and of the history nothing that is not needed for it.
//
// It owns how a source is read, what it names at the remote, who is told which
// credentials, and how a tree of git becomes files. It runs no git, no hooks and
// no filters. What else is fetched over the network is not its own.
package git

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// Options say what is fetched beside what the source itself says.
type Options struct {
	// KeepGitDir makes the result a repository with that one commit: .git, a
	// detached HEAD, the reference and the remote origin. It has no effect where the
	// source names a sub-directory. Nil is what the source says, or not.
	KeepGitDir *bool
	// Checksum is the commit expected, or the beginning of its hash; empty expects
	// nothing but what the source says.
	Checksum string
	// SkipSubmodules leaves the directories of submodules empty, as does a source
	// with submodules=false.
	SkipSubmodules bool
	// Depth is how many commits deep .git goes; 0 is 1, and negative is all of it.
	Depth int
	// Client is for http and https; nil is one with the process's proxies and
	// authorities.
	Client      *http.Client
	Credentials Credentials

	retry remote.Retry // tests are less patient
}

// Credentials open repositories that not everybody may read.
type Credentials struct {
	// Host is who may be told Token, Username and Password, with the port if the
	// URL has one; empty is the host that the source names. They go to no other, and
	// not to where it redirects. Those in the source itself come first.
	Host string
	// Token is sent as the user's name without a password, as GitHub and others
	// take it. With a Username it is sent as that user's password.
	Token              string
	Username, Password string
	// AgentSocket is where an ssh agent listens. KeyFiles are private keys for ssh,
	// without a passphrase.
	AgentSocket string
	KeyFiles    []string
	// KnownHosts are files of the hosts' keys that ssh believes, in OpenSSH's form.
	// Those which do not exist do not count.
	KnownHosts []string
}

// FromEnvironment reads GIT_TOKEN, GIT_USERNAME and GIT_PASSWORD, SSH_AUTH_SOCK
// and SSH_KNOWN_HOSTS, a list of files like PATH, which is by default OpenSSH's own.
func FromEnvironment(getenv func(string) string) Credentials {
	c := Credentials{
		Token:       getenv("GIT_TOKEN"),
		Username:    getenv("GIT_USERNAME"),
		Password:    getenv("GIT_PASSWORD"),
		AgentSocket: getenv("SSH_AUTH_SOCK"),
		KnownHosts:  filepath.SplitList(getenv("SSH_KNOWN_HOSTS")),
	}
	if len(c.KnownHosts) == 0 {
		if home := getenv("HOME"); home != "" {
			c.KnownHosts = append(c.KnownHosts, filepath.Join(home, ".ssh", "known_hosts"))
		}
		c.KnownHosts = append(c.KnownHosts, "/etc/ssh/ssh_known_hosts")
	}
	return c
}

// Fetch checks out what ref names below dir, an existing empty directory, and
// says which commit it is. Files have mode 0644 or 0755, the process's own owner
// and, unless the source says otherwise, the commit's time. Nothing in the
// repository leads to a file outside of dir being touched. After an error dir
// holds a part, or nothing.
func Fetch(ctx context.Context, ref Ref, dir string, o Options) (commit string, err error) {
	f, err := newFetcher(ref, dir, o)
	if err != nil {
		return "", err
	}
	top := module{at: ref.at, user: f.user, ref: ref.Ref, commit: f.commit, byCommit: ref.ByCommit, dir: ref.Dir, gitDir: gitDir}
	got, err := f.fetch(ctx, top)
	if err == nil {
		err = f.finish(ref)
	}
	if err != nil {
		return "", f.scrub(err)
	}
	return got, nil
}

// gitDir is where a repository keeps itself in its work tree.
const gitDir = ".git"

// fetcher is one source on its way: its repository and those of its submodules.
type fetcher struct {
	root       string // where files go
	keep       bool
	submodules bool
	checkout   bool   // files get the time of now
	commit     string // expected
	depth      int
	client     *http.Client
	retry      remote.Retry
	home       address // whose host is told the credentials
	user       *url.Userinfo
	ssh        Credentials
	time       time.Time // of all files, once the first commit is known
}

func newFetcher(ref Ref, dir string, o Options) (*fetcher, error) {
	if ref.at == (address{}) {
		return nil, &SourceError{Source: ref.URL, Err: errors.New("it was not parsed")}
	}
	f := &fetcher{root: dir, depth: o.Depth, submodules: !o.SkipSubmodules, checkout: ref.MTime == MTimeCheckout,
		commit: ref.Commit, client: o.Client, retry: o.retry, home: ref.at, ssh: o.Credentials}
	if f.depth == 0 {
		f.depth = 1
	}
	if o.Checksum != "" {
		if f.commit != "" && f.commit != o.Checksum {
			return nil, &SourceError{Source: ref.URL, Err: errors.New("the checksum beside it is another one than its own: " + o.Checksum + " and " + f.commit)}
		}
		if !isHex(o.Checksum) {
			return nil, &SourceError{Source: ref.URL, Err: errors.New(o.Checksum + " is not the beginning of a commit's hash")}
		}
		f.commit = o.Checksum
	}
	f.commit = strings.ToLower(f.commit)
	keep := o.KeepGitDir
	if ref.KeepGitDir != nil {
		if keep != nil && *keep != *ref.KeepGitDir {
			return nil, &SourceError{Source: ref.URL, Err: errors.New("its keep-git-dir and the option beside it contradict each other")}
		}
		keep = ref.KeepGitDir
	}
	f.keep = keep != nil && *keep && ref.Dir == ""
	if ref.Submodules != nil {
		f.submodules = f.submodules && *ref.Submodules
	}
	f.user = ref.user
	if f.user == nil && (o.Credentials.Host == "" || strings.EqualFold(o.Credentials.Host, ref.at.host)) {
		f.user = o.Credentials.basic()
	}
	return f, nil
}

// basic is what a web server is told; nil is nothing.
func (c Credentials) basic() *url.Userinfo {
	switch {
	case c.Token != "" && c.Username != "":
		return url.UserPassword(c.Username, c.Token)
	case c.Token != "":
		return url.UserPassword(c.Token, "")
	case c.Username != "" || c.Password != "":
		return url.UserPassword(c.Username, c.Password)
	}
	return nil
}

// module is a repository to be checked out: the source's, or a submodule.
type module struct {
	at       address
	user     *url.Userinfo
	ref      string // as in [Ref]; of a submodule the commit
	commit   string // expected; empty expects nothing
	byCommit bool
	dir      string // of the repository, that is wanted
	// path is where its files go, and gitDir where the repository is, both below
	// the root.
	path, gitDir string
	nesting      int
}

// finish leaves of the repositories what is to be left, with the files' time.
func (f *fetcher) finish(ref Ref) error {
	repository := filepath.Join(f.root, gitDir)
	err := error(nil)
	if f.keep {
		err = settle(repository, f.time)
	} else {
		err = os.RemoveAll(repository)
	}
	if err == nil {
		err = os.Chtimes(f.root, f.time, f.time)
	}
	if err != nil {
		return &Error{Repository: ref.URL, Attempt: "finish the checkout", Err: err}
	}
	return nil
}

// scrub hides credentials that a server's or a library's message repeats. What is
// too short to be a secret stays, or every message would be full of holes.
func (f *fetcher) scrub(err error) error {
	const shortest, shortestToken = 4, 8
	var secrets []string
	if f.user != nil {
		if password, _ := f.user.Password(); len(password) >= shortest {
			secrets = append(secrets, password, url.QueryEscape(password), url.PathEscape(password))
		} else if token := f.user.Username(); password == "" && len(token) >= shortestToken {
			secrets = append(secrets, token)
		}
	}
	text := err.Error()
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "…")
	}
	if text == err.Error() {
		return err
	}
	return &scrubbed{text, err}
}

// scrubbed is an error with another text.
type scrubbed struct {
	text string
	err  error
}

func (e *scrubbed) Error() string { return e.text }

// ExitCode is the error's own.
func (e *scrubbed) ExitCode() int {
	var inner interface{ ExitCode() int }
	if errors.As(e.err, &inner) {
		return inner.ExitCode()
	}
	return 69
}

// Hint is the error's own.
func (e *scrubbed) Hint() string {
	var inner interface{ Hint() string }
	if errors.As(e.err, &inner) {
		return inner.Hint()
	}
	return ""
}
