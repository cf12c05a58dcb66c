package git

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostileTree writes a tree that git itself would not make, and a branch at a
// commit of it.
func hostileTree(t *testing.T, bare, branch string, entries ...string) {
	t.Helper()
	var raw strings.Builder
	for _, e := range entries { // "MODE HASH NAME"
		part := strings.SplitN(e, " ", 3)
		raw.WriteString(part[0] + " " + part[2] + "\x00")
		for i := 0; i < 40; i += 2 {
			raw.WriteByte(unhex(part[1][i])<<4 | unhex(part[1][i+1]))
		}
	}
	tree := gitInput(t, bare, raw.String(), "hash-object", "-t", "tree", "--literally", "-w", "--stdin")
	commit := git(t, bare, "commit-tree", "-m", "c", tree)
	git(t, bare, "update-ref", "refs/heads/"+branch, commit)
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func TestFetch_hostile(t *testing.T) {
	r := newRepositories(t)
	bare := r.create("x.git", func(dir string) { r.write(dir, "f", "f"); r.commit(dir, "c") })
	blob := gitInput(t, bare, "evil", "hash-object", "-w", "--stdin")
	up := gitInput(t, bare, "../..", "hash-object", "-w", "--stdin")
	none := gitInput(t, bare, "", "hash-object", "-w", "--stdin")
	long := gitInput(t, bare, strings.Repeat("x", 5000), "hash-object", "-w", "--stdin")
	sub := gitInput(t, bare, "100644 blob "+blob+"\tevil\n", "mktree")
	modules := func(text string) string { return gitInput(t, bare, text, "hash-object", "-w", "--stdin") }
	commit := git(t, bare, "rev-parse", "main")
	for name, tc := range map[string]struct {
		entries []string
		text    string
	}{
		"dots":                  {[]string{"40000 " + sub + " .."}, "no name of a file"},
		"dot":                   {[]string{"40000 " + sub + " ."}, "no name of a file"},
		"slash":                 {[]string{"100644 " + blob + " ../evil"}, "no name of a file"},
		"absolute":              {[]string{"100644 " + blob + " /tmp/evil"}, "no name of a file"},
		"repository":            {[]string{"40000 " + sub + " .git"}, "would pass for a repository"},
		"repository in letters": {[]string{"40000 " + sub + " .GiT"}, "would pass for a repository"},
		"link, then through it": {[]string{"120000 " + up + " a", "40000 " + sub + " a"}, "there twice"},
		"twice":                 {[]string{"100644 " + blob + " a", "100755 " + blob + " a"}, "there twice"},
		"link to nothing":       {[]string{"120000 " + none + " a"}, "a link that cannot be"},
		"long link":             {[]string{"120000 " + long + " a"}, "larger than 4095 bytes"},
		"module of this machine": {[]string{"100644 " + modules("[submodule \"m\"]\npath = m\nurl = "+bare) + " .gitmodules", "160000 " + commit + " m"},
			"a path of this machine"},
		"module by a file URL": {[]string{"100644 " + modules("[submodule \"m\"]\npath = m\nurl = file://"+bare) + " .gitmodules", "160000 " + commit + " m"}, "submodule m"},
		"module by a program":  {[]string{"100644 " + modules("[submodule \"m\"]\npath = m\nurl = ext::sh -c true") + " .gitmodules", "160000 " + commit + " m"}, "submodule m"},
		"module's name":        {[]string{"100644 " + modules("[submodule \"../../m\"]\npath = m\nurl = ../x.git") + " .gitmodules", "160000 " + commit + " m"}, "m"},
		"module unknown":       {[]string{"160000 " + commit + " m"}, "does not say where it is"},
		"modules by a link":    {[]string{"120000 " + blob + " .gitmodules", "160000 " + commit + " m"}, "it is a link"},
	} {
		t.Run(name, func(t *testing.T) {
			branch := strings.Map(func(r rune) rune {
				if r < 'a' || r > 'z' {
					return '-'
				}
				return r
			}, name)
			hostileTree(t, bare, branch, tc.entries...)
			ref, err := Parse(serve(t, r.backend()).URL + "/x.git#" + branch)
			if err != nil {
				t.Fatal(err)
			}
			above := t.TempDir()
			dir := filepath.Join(above, "a/b/c")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			keep := true
			_, err = Fetch(t.Context(), ref, dir, Options{KeepGitDir: &keep})
			code := 65
			if strings.Contains(name, "long") {
				code = 69
			}
			checkError(t, err, code, tc.text)
			for _, d := range []string{above, filepath.Join(above, "a"), filepath.Join(above, "a/b")} {
				if entries, err := os.ReadDir(d); err != nil || len(entries) != 1 {
					t.Errorf("%s holds %v %v", d, entries, err)
				}
			}
			if _, err := os.Stat("/tmp/evil"); err == nil {
				t.Error("a file of this machine was written")
			}
		})
	}
}

// Links are made as they are, and nothing is written through them.
func TestFetch_links(t *testing.T) {
	r := newRepositories(t)
	bare := r.create("x.git", func(dir string) { r.write(dir, "f", "f"); r.commit(dir, "c") })
	outside := t.TempDir()
	link := gitInput(t, bare, outside, "hash-object", "-w", "--stdin")
	commit := git(t, bare, "rev-parse", "main")
	blob := gitInput(t, bare, "[submodule \"m\"]\npath = a\nurl = ../x.git\n", "hash-object", "-w", "--stdin")
	hostileTree(t, bare, "evil", "100644 "+blob+" .gitmodules", "120000 "+link+" a", "160000 "+commit+" a")
	ref, err := Parse(serve(t, r.backend()).URL + "/x.git#evil")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Fetch(t.Context(), ref, t.TempDir(), Options{})
	checkError(t, err, 65, "there twice")
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("outside: %v %v", entries, err)
	}
}
