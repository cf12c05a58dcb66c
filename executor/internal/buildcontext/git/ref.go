package git

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Ref is what a git source names: a repository, what to check out of it, and
// how. Credentials in the source are kept apart, so that a Ref may be shown.
type Ref struct {
	// URL is the repository, without password and without what follows it in the
	// source: https://host/x.git, git@host:x.git.
	URL string
	// Ref is a branch, a tag, a full commit hash or a path below refs/; empty is
	// the remote's HEAD. What is both a branch and a tag is the branch.
	Ref string
	// Commit is the commit expected, or the beginning of its hash; of an annotated
	// tag it may be the tag's own. Empty expects nothing.
	Commit string
	// Dir is the directory of the repository whose content is wanted, clean and
	// relative; empty is the root.
	Dir string
	// KeepGitDir and Submodules are nil if the source does not say.
	KeepGitDir, Submodules *bool
	// MTime is [MTimeCommit] or [MTimeCheckout]; empty if the source does not say.
	MTime string
	// ByCommit trusts Commit, a full hash, and does not compare it with what Ref
	// names at the remote.
	ByCommit bool

	at   address
	user *url.Userinfo // of an http URL, from the source
}

// What a file's time of modification is.
const (
	MTimeCommit   = "commit"   // the commit's
	MTimeCheckout = "checkout" // when it was fetched
)

// String is the source as it may be shown.
func (r Ref) String() string {
	s := r.URL
	if r.Ref != "" || r.Dir != "" {
		s += "#" + r.Ref
	}
	if r.Dir != "" {
		s += ":" + r.Dir
	}
	return s
}

// ErrNotRepository says that a source is something else than a git repository.
var ErrNotRepository = errors.New("not the address of a git repository")

// Parse reads a source: https://host/x.git and http (whose path must end in
// .git), git://host/x, ssh://host/x or user@host:x, each with #REF, #REF:DIR or
// #:DIR, or with ?ref=, tag=, branch=, commit= (or checksum=), subdir=,
// keep-git-dir=, submodules=, mtime= and fetch-by-commit=. The forms are those of
// the Dockerfile reference and of "Build context" in Docker's manual, as BuildKit
// 0.34 reads them. An error that wraps [ErrNotRepository] says that it is no git
// source at all.
func Parse(source string) (Ref, error) { return parse(source, false) }

// ParseContext reads the address of a build context as Parse does, and kaniko's forms
// besides: git://HOST/PATH, which is fetched by the web protocol method ("https" or
// "http"), with a user, a password or a token before the host; and #REF#COMMIT, which
// is that commit whatever the reference is by now.
func ParseContext(source, method string) (Ref, error) {
	web := false
	if rest, ok := strings.CutPrefix(source, "git://"); ok {
		source, web = method+"://"+rest, true
	}
	address, fragment, _ := strings.Cut(source, "#")
	ref, commit, pinned := strings.Cut(fragment, "#")
	if pinned {
		source = address + "#" + ref
	}
	r, err := parse(source, web)
	if err != nil || !pinned {
		return r, err
	}
	commit = strings.ToLower(commit)
	switch {
	case !isHex(commit):
		return Ref{}, &SourceError{Source: r.URL, Err: fmt.Errorf("%q is not a commit's hash, or its beginning", commit)}
	case r.Commit != "" && r.Commit != commit:
		return Ref{}, &SourceError{Source: r.URL, Err: errors.New("it names two commits: " + r.Commit + " and " + commit)}
	}
	r.Commit, r.ByCommit = commit, r.ByCommit || isHash(commit)
	return r, nil
}

// Host is the repository's host, with the port if one is given.
func (r Ref) Host() string { return r.at.host }

// parse reads a source; anyPath lets an http URL's path end as it likes.
func parse(source string, anyPath bool) (Ref, error) {
	r, query, fragment, err := parseAddress(source, anyPath)
	if err != nil {
		return Ref{}, err
	}
	ref, dir, _ := strings.Cut(fragment, ":")
	r.Ref, r.Dir = ref, cleanDir(dir)
	if err := r.takeQuery(query); err != nil {
		return Ref{}, &SourceError{Source: r.URL, Err: err}
	}
	if r.ByCommit && !isHash(r.Commit) {
		return Ref{}, &SourceError{Source: r.URL, Err: errors.New("fetch-by-commit needs a full commit hash in commit=")}
	}
	if r.Commit != "" && !isHex(r.Commit) {
		return Ref{}, &SourceError{Source: r.URL, Err: fmt.Errorf("%q is not the beginning of a commit's hash", r.Commit)}
	}
	return r, nil
}

// address is where a repository is.
type address struct {
	scheme string // http, https, ssh or git
	user   string // of ssh
	host   string // with the port, if one is given
	path   string // as the protocol wants it
	scp    bool   // the form user@host:path
}

func (a address) String() string {
	if a.scp {
		return a.user + "@" + a.host + ":" + a.path
	}
	u := url.URL{Scheme: a.scheme, Host: a.host, Path: a.path}
	if a.user != "" {
		u.User = url.User(a.user)
	}
	return u.String()
}

// scpForm is what ssh takes as an address, with a query and a fragment.
func scpForm() *regexp.Regexp {
	return regexp.MustCompile(`^([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):(.*?)(?:\?(.*?))?(?:#(.*))?$`)
}

// parseAddress takes a source apart into the repository, the query and the fragment.
func parseAddress(source string, anyPath bool) (r Ref, query url.Values, fragment string, err error) {
	scheme, _, ok := strings.Cut(source, "://")
	if !ok || strings.ContainsFunc(scheme, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) {
		m := scpForm().FindStringSubmatch(source)
		if m == nil {
			return Ref{}, nil, "", ErrNotRepository
		}
		r.at = address{scheme: "ssh", user: m[1], host: m[2], path: m[3], scp: true}
		r.URL = r.at.String()
		if query, err = url.ParseQuery(m[4]); err != nil {
			return Ref{}, nil, "", &SourceError{Source: r.URL, Err: fmt.Errorf("its query cannot be read: %w", err)}
		}
		return r, query, m[5], nil
	}
	u, err := url.Parse(source)
	if err != nil {
		return Ref{}, nil, "", fmt.Errorf("%w: it cannot be read as a URL", ErrNotRepository)
	}
	r.at = address{scheme: u.Scheme, host: u.Host, path: u.Path}
	switch u.Scheme {
	case "http", "https":
		if !anyPath && !strings.HasSuffix(u.Path, ".git") {
			return Ref{}, nil, "", fmt.Errorf("%w: the path of an http URL must end in .git", ErrNotRepository)
		}
		r.user = u.User
	case "ssh":
		if u.User != nil {
			r.at.user = u.User.Username()
		}
	case "git":
	default:
		return Ref{}, nil, "", fmt.Errorf("%w: %s is no protocol for one", ErrNotRepository, u.Scheme)
	}
	r.URL = r.at.String()
	if u.Host == "" {
		return Ref{}, nil, "", &SourceError{Source: r.URL, Err: errors.New("it names no host")}
	}
	if query, err = url.ParseQuery(u.RawQuery); err != nil {
		return Ref{}, nil, "", &SourceError{Source: r.URL, Err: fmt.Errorf("its query cannot be read: %w", err)}
	}
	return r, query, u.Fragment, nil
}

// takeQuery fills in what the query says.
func (r *Ref) takeQuery(query url.Values) error {
	named := map[string]string{} // where the reference is said, by what it says
	if r.Ref != "" {
		named[r.Ref] = "#"
	}
	name := func(key, ref string) error {
		if len(named) > 0 && named[ref] == "" {
			return fmt.Errorf("it names two references: %q and %q", r.Ref, ref)
		}
		r.Ref, named[ref] = ref, key
		return nil
	}
	keys := make([]string, 0, len(query))
	for key := range query {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if len(query[key]) > 1 {
			return fmt.Errorf("%s= is there twice", key)
		}
		value := query[key][0]
		isFlag := slices.Contains([]string{"keep-git-dir", "submodules", "fetch-by-commit"}, key)
		if value == "" && !isFlag {
			return fmt.Errorf("%s= has no value", key)
		}
		var on bool
		if isFlag {
			var err error
			if on, err = parseFlag(value); err != nil {
				return fmt.Errorf("%s=%s is neither true nor false", key, value)
			}
		}
		var err error
		switch key {
		case "ref":
			err = name(key, value)
		case "tag":
			err = name(key, "refs/tags/"+strings.TrimPrefix(value, "refs/tags/"))
		case "branch":
			err = name(key, "refs/heads/"+strings.TrimPrefix(value, "refs/heads/"))
		case "commit", "checksum":
			if r.Commit != "" && r.Commit != value {
				return errors.New("commit= and checksum= differ")
			}
			r.Commit = value
		case "subdir":
			if dir := cleanDir(value); r.Dir == "" {
				r.Dir = dir
			} else if r.Dir != dir {
				return fmt.Errorf("it names two directories: %q and %q", r.Dir, dir)
			}
		case "keep-git-dir":
			r.KeepGitDir = &on
		case "submodules":
			r.Submodules = &on
		case "fetch-by-commit":
			r.ByCommit = on
		case "mtime":
			if value != MTimeCommit && value != MTimeCheckout {
				return fmt.Errorf("mtime=%s is neither %s nor %s", value, MTimeCommit, MTimeCheckout)
			}
			r.MTime = value
		default:
			return fmt.Errorf("%s= means nothing in its query", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseFlag reads a flag of the query; its name alone is enough.
func parseFlag(value string) (bool, error) {
	if value == "" {
		return true, nil
	}
	return strconv.ParseBool(value)
}

// cleanDir is a directory below the repository's root, which ".." does not leave.
func cleanDir(dir string) string { return strings.TrimPrefix(path.Join("/", dir), "/") }

// isHash tells whether s is the whole name of an object, in SHA-1 or SHA-256.
func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && isHex(s) && s == strings.ToLower(s)
}

func isHex(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F')
	})
}
