package git

import (
	"errors"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

func TestParse(t *testing.T) {
	for source, want := range map[string]string{
		"https://example.com/x.git":                            "https://example.com/x.git | | |",
		"http://example.com:8080/a/x.git#v1":                   "http://example.com:8080/a/x.git | v1 | |",
		"https://example.com/x.git#release/1.2:a/b":            "https://example.com/x.git | release/1.2 | a/b |",
		"https://example.com/x.git#:docs/":                     "https://example.com/x.git | | docs |",
		"https://example.com/x.git#main:../../a":               "https://example.com/x.git | main | a |",
		"https://example.com/x.git#main:/":                     "https://example.com/x.git | main | |",
		"HTTPS://example.com/x.git":                            "https://example.com/x.git | | |",
		"git://example.com/x":                                  "git://example.com/x | | |",
		"git://example.com/x#main":                             "git://example.com/x | main | |",
		"ssh://git@example.com:2222/a/x.git#main":              "ssh://git@example.com:2222/a/x.git | main | |",
		"ssh://example.com/~me/x":                              "ssh://example.com/~me/x | | |",
		"git@example.com:me/x.git#v1:d":                        "git@example.com:me/x.git | v1 | d |",
		"git@example.com:x?branch=b&subdir=s":                  "git@example.com:x | refs/heads/b | s |",
		"https://example.com/x.git?ref=main":                   "https://example.com/x.git | main | |",
		"https://example.com/x.git?tag=v1":                     "https://example.com/x.git | refs/tags/v1 | |",
		"https://example.com/x.git?tag=refs/tags/v1":           "https://example.com/x.git | refs/tags/v1 | |",
		"https://example.com/x.git?branch=b&ref=refs/heads/b":  "https://example.com/x.git | refs/heads/b | |",
		"https://example.com/x.git?commit=abc123&branch=b":     "https://example.com/x.git | refs/heads/b | | abc123",
		"https://example.com/x.git?checksum=ABC&commit=ABC":    "https://example.com/x.git | | | ABC",
		"https://example.com/x.git?subdir=a%2Fb#v1":            "https://example.com/x.git | v1 | a/b |",
		"https://example.com/x.git?subdir=a#v1:a":              "https://example.com/x.git | v1 | a |",
		"https://me:secret@example.com/x.git#v1":               "https://example.com/x.git | v1 | |",
		"https://example.com/x%20y.git":                        "https://example.com/x%20y.git | | |",
		"git@example.com:":                                     "git@example.com: | | |",
		"https://example.com/x.git#main?subdir=d":              "https://example.com/x.git | main?subdir=d | |",
		"https://example.com/x.git?mtime=commit&submodules=no": "",
	} {
		r, err := Parse(source)
		if want == "" {
			if err == nil {
				t.Errorf("%s: no error", source)
			}
			continue
		}
		got := strings.ReplaceAll(strings.Join([]string{r.URL, r.Ref, r.Dir, r.Commit}, " | "), "  ", " ")
		if err != nil || strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s: %q %v, want %q", source, got, err, want)
		}
		if strings.Contains(r.String()+r.URL, "secret") {
			t.Errorf("%s: the password shows: %s", source, r)
		}
	}
}

func TestParse_flags(t *testing.T) {
	yes, no := true, false
	is := func(p *bool, want *bool) bool { return p == want || p != nil && want != nil && *p == *want }
	for query, want := range map[string]struct {
		keep, sub *bool
		mtime     string
		byCommit  bool
	}{
		"":                               {},
		"keep-git-dir":                   {keep: &yes},
		"keep-git-dir=false&submodules=": {keep: &no, sub: &yes},
		"submodules=0&mtime=checkout":    {sub: &no, mtime: MTimeCheckout},
		"fetch-by-commit&commit=" + strings.Repeat("a", 40): {byCommit: true},
	} {
		r, err := Parse("https://example.com/x.git?" + query)
		if err != nil || !is(r.KeepGitDir, want.keep) || !is(r.Submodules, want.sub) || r.MTime != want.mtime || r.ByCommit != want.byCommit {
			t.Errorf("%s: %+v %v", query, r, err)
		}
	}
}

func TestParse_wrong(t *testing.T) {
	for source, text := range map[string]string{
		"https://example.com/x.git?foo=1":                  "foo= means nothing",
		"https://example.com/x.git?ref":                    "ref= has no value",
		"https://example.com/x.git?ref=a&ref=b":            "ref= is there twice",
		"https://example.com/x.git?ref=b&branch=b":         "two references",
		"https://example.com/x.git?tag=b&branch=b":         "two references",
		"https://example.com/x.git?ref=a#b":                "two references",
		"https://example.com/x.git?subdir=a#b:c":           "two directories",
		"https://example.com/x.git?commit=main":            "not the beginning of a commit's hash",
		"https://example.com/x.git?commit=a&checksum=b":    "differ",
		"https://example.com/x.git?keep-git-dir=perhaps":   "neither true nor false",
		"https://example.com/x.git?mtime=never":            "neither commit nor checkout",
		"https://example.com/x.git?fetch-by-commit":        "needs a full commit hash",
		"https:///x.git":                                   "names no host",
		"git@example.com:x?%zz":                            "its query cannot be read",
		"https://me:secret@example.com/x.git?foo=1":        "git source https://example.com/x.git",
		"https://example.com/x.git?fetch-by-commit&ref=ab": "needs a full commit hash",
	} {
		_, err := Parse(source)
		if err == nil || !strings.Contains(err.Error(), text) || errors.Is(err, ErrNotRepository) {
			t.Errorf("%s: %v, want %q", source, err, text)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the password shows: %v", source, err)
		}
	}
	for _, source := range []string{"", ".", "dir/x.git", "./git@example.com:x", "https://example.com/x", "https://example.com/x.git/",
		"https://example.com/x.git.tar", "github.com/x/y.git", "ftp://example.com/x.git", "file:///x.git", "/x.git", "a.b@example.com:x",
		"git@example.com", "ext::sh -c x", "https://example.com/%zz.git"} {
		if _, err := Parse(source); !errors.Is(err, ErrNotRepository) {
			t.Errorf("%q: %v, want no repository", source, err)
		}
	}
}

func TestParseContext(t *testing.T) {
	commit := strings.Repeat("ab", 20)
	for source, want := range map[string]Ref{
		"git://example.com/x": {URL: "https://example.com/x"},
		"git://token@example.com:8443/a/x.git#refs/pull/1/head": {URL: "https://example.com:8443/a/x.git", Ref: "refs/pull/1/head"},
		"git@example.com:x":                                {URL: "git@example.com:x"},
		"https://example.com/x.git#v1:d":                   {URL: "https://example.com/x.git", Ref: "v1", Dir: "d"},
		"https://example.com/x.git#refs/heads/a#" + commit: {URL: "https://example.com/x.git", Ref: "refs/heads/a", Commit: commit, ByCommit: true},
		"git://example.com/x#a#" + strings.ToUpper(commit): {URL: "https://example.com/x", Ref: "a", Commit: commit, ByCommit: true},
		"git@example.com:x#a#abab":                         {URL: "git@example.com:x", Ref: "a", Commit: "abab"},
	} {
		r, err := ParseContext(source, "https")
		r.at, r.user = address{}, nil
		if err != nil || r != want {
			t.Errorf("%s: %+v %v, want %+v", source, r, err, want)
		}
	}
	if r, err := ParseContext("git://me:s3cr3t@h/x", "http"); err != nil || r.at.scheme != "http" || r.user.String() != "me:s3cr3t" || r.Host() != "h" {
		t.Errorf("%+v %v", r, err)
	}
	for _, source := range []string{"https://example.com/a/b", "dir", "gitlab.com/a/b.git", "dir#a#b"} {
		if _, err := ParseContext(source, "https"); !errors.Is(err, ErrNotRepository) {
			t.Errorf("%s: %v", source, err)
		}
	}
	for _, source := range []string{"git://h/x#a#b#c", "git://h/x#a#v1", "git://h/x#a#", "https://h/x.git?commit=abcd#a#" + commit} {
		var e *SourceError
		if _, err := ParseContext(source, "https"); !errors.As(err, &e) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// What the parser of Dockerfiles takes for a repository can be parsed as one.
func TestParse_asInDockerfiles(t *testing.T) {
	for _, source := range []string{"https://h/x.git", "https://h/x.git#a:b", "https://h/x.git?ref=a", "https://h/x.git/", "https://h/x", "HTTP://h/x.git", "SSH://h/x",
		"git://h/x", "GIT://h/x", "ftp://h/x.git", "git@h:x", "a.b@h:x", "a-b_c@h.i-j:x?ref=a#", "a@h_i:x", "@h:x", "a@:x", "a@h:", "a@h", "./a@h:x", "github.com/a/b.git", "a@h:x://y", "https://h/%zz.git"} {
		_, err := Parse(source)
		if repository := dockerfile.Remote(source) == "a git repository"; repository == errors.Is(err, ErrNotRepository) {
			t.Errorf("%s: in a Dockerfile a repository: %v; here: %v", source, repository, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("https://a:secret@h/x.git?ref=a&subdir=..%2f#b:c")
	f.Add("git@h:x?tag=b#c:d")
	f.Fuzz(func(t *testing.T, source string) {
		r, err := Parse(source)
		if err == nil && (strings.HasPrefix(r.Dir, "/") || strings.HasPrefix(r.Dir, "..")) {
			t.Errorf("%q leaves the repository: %q", source, r.Dir)
		}
	})
}

func TestSimilar(t *testing.T) {
	names := []string{"main", "release/1.0", "release/1.1", "v1.0", "v1.0.1", "zebra"}
	for ref, want := range map[string]string{"mian": "main", "1.1": "release/1.1", "refs/tags/v1.0.2": "v1.0 v1.0.1", "quite-another": ""} {
		if got := strings.Join(similar(ref, names), " "); got != want {
			t.Errorf("%s: %q, want %q", ref, got, want)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	env := map[string]string{"GIT_TOKEN": "t", "GIT_USERNAME": "u", "GIT_PASSWORD": "p", "SSH_AUTH_SOCK": "/s", "HOME": "/h"}
	c := FromEnvironment(func(name string) string { return env[name] })
	if c.Token != "t" || c.Username != "u" || c.Password != "p" || c.AgentSocket != "/s" ||
		strings.Join(c.KnownHosts, " ") != "/h/.ssh/known_hosts /etc/ssh/ssh_known_hosts" {
		t.Errorf("%+v", c)
	}
	env["SSH_KNOWN_HOSTS"] = "/a:/b"
	if c = FromEnvironment(func(name string) string { return env[name] }); strings.Join(c.KnownHosts, " ") != "/a /b" {
		t.Errorf("%+v", c.KnownHosts)
	}
}
