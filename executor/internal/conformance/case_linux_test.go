package conformance

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// write writes a case and reads it.
func write(t *testing.T, name, text string) *Case {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".txtar")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lay lays a case out.
func lay(t *testing.T, text string) *Built {
	t.Helper()
	if _, err := os.Stat(Busybox); err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	c := write(t, "001-test", text)
	site, err := Open(t.Context(), registrytest.Start(t, registrytest.Config{}).Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	b, err := site.Lay(t.Context(), c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRead_errors(t *testing.T) {
	for text, want := range map[string]string{
		"-- Dockerfile --\n":                        "comment",
		"c\n-- want/thing --\n":                     "unknown part",
		"c\n-- want/error --\nx\n":                  "exit N",
		"c\n-- want/error --\nx\nexit 0\n":          "exit N",
		"c\n-- want/error --\n(\nexit 1\n":          "missing closing",
		"c\n-- differs --\ndocker / mode why\n":     "buildkit or buildah",
		"c\n-- differs --\nbuildah fails\n":         "why?",
		"c\n-- differs --\nbuildah / mode\n":        "REASON",
		"c\n-- needs --\nluck\n":                    "unknown condition",
		"c\n-- args --\n-x\n":                       "no --flag",
		"c\n-- ../x --\n":                           "leads out",
		"c\n-- x --\n-- x --\n":                     "twice",
		"c\n-- context.tree --\nfile /a colour=1\n": "context.tree: line 1",
	} {
		file := filepath.Join(t.TempDir(), "001-x.txtar")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestLay(t *testing.T) {
	b := lay(t, `What a case can have.
-- Dockerfile --
FROM {{base}}
COPY --from={{own}} / /
-- base/own --
file /x text="x"
-- args --
--build-context a=docker-image://{{own@}}
--build-arg=A=1
-- context/plain --
plain
-- context/run --
run
-- context.tree --
file /run mode=4711 mtime=2001-02-03
symlink /l to=/nowhere mtime=2002-02-02
link /h to=/plain
fifo /f mode=0600
dir /d mode=0700
file "/d/odd\n" text="o"
file /sparse text="x" size=10000000
tar /t.tar
file x text="x"
end
`)
	text, err := os.ReadFile(filepath.Join(b.Dir, b.Dockerfile()))
	if err != nil || strings.Contains(string(text), "{{") || !strings.Contains(string(text), "/case/001-test/own /") {
		t.Errorf("%s, %v", text, err)
	}
	args, err := b.Arguments()
	if err != nil || len(args) != 2 || !strings.Contains(args[0].Value, "own@sha256:") || args[1] != (Arg{"--build-arg", "A=1"}) {
		t.Errorf("%v, %v", args, err)
	}
	if got := b.Collapse("at " + b.names["registry"] + " and " + b.names["http"]); got != "at {{registry}} and {{http}}" {
		t.Error(got)
	}
	var got []string
	for _, name := range []string{"plain", "run", "l", "h", "f", "d", "d/odd\n", "sparse", "t.tar"} {
		var st syscall.Stat_t
		if err := syscall.Lstat(filepath.Join(b.Dir, "context", name), &st); err != nil {
			t.Fatal(err)
		}
		size := st.Size
		if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			size = 0
		}
		got = append(got, fmt.Sprintf("%q %o %d %d %s", name, st.Mode&^0o777|st.Mode&0o777, st.Nlink, size, time.Unix(st.Mtim.Unix()).UTC().Format("2006-01-02")))
		if name == "sparse" && st.Blocks*512 > 1<<20 {
			t.Errorf("the hole takes %d blocks", st.Blocks)
		}
	}
	want := []string{
		`"plain" 100644 2 6 2020-01-01`,
		`"run" 104711 1 4 2001-02-03`,
		`"l" 120777 1 8 2002-02-02`,
		`"h" 100644 2 6 2020-01-01`,
		`"f" 10600 1 0 2020-01-01`,
		`"d" 40700 2 0 2020-01-01`,
		`"d/odd\n" 100644 1 1 2020-01-01`,
		`"sparse" 100644 1 10000000 2020-01-01`,
		`"t.tar" 100644 1 2048 2020-01-01`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestServe(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	b := lay(t, `What a case's servers do.
-- http/a --
a
-- http.meta --
a mtime=2021-02-03 header="X-Of: the case"
b status=404
c status=302 location={{http}}/a
-- git/app --
commit first
file a text="1"
tag v1
branch dev
commit second
file b text="2"
remove a
`)
	for path, want := range map[string]string{
		"/a": "200 Wed, 03 Feb 2021 00:00:00 GMT the case a\n",
		"/b": "404   so the case wants it\n",
		"/c": "200 Wed, 03 Feb 2021 00:00:00 GMT the case a\n",
		"/d": "404   404 page not found\n",
	} {
		resp, err := http.Get(b.names["http"] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %s %s %s", resp.StatusCode, resp.Header.Get("Last-Modified"), resp.Header.Get("X-Of"), body); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	clone := filepath.Join(t.TempDir(), "clone")
	cmd := exec.Command("git", "clone", "-q", "--depth=1", "--branch=dev", b.names["git"]+"/app.git", clone)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	entries, err := os.ReadDir(clone)
	if err != nil || len(entries) != 2 || entries[1].Name() != "b" {
		t.Errorf("%v, %v", entries, err)
	}
	// Ids do not depend on the machine or the day.
	if id := b.names["app@v1"]; id != "5afe28decc17dde33aff2907ad4b62b49fda5b81" || b.names["app@dev"] == id {
		t.Errorf("v1 is %s, dev %s", id, b.names["app@dev"])
	}
}

const described = `What is described.
-- base/low --
dir /d mode=0700
file /d/a text="a"
file /gone text="g"
dir /dir
file /dir/x text="x"
config {"config": {"Env": ["A=1"], "User": "u"}, "history": [{"created_by": "low"}]}
-- base/high --
from low
layer
whiteout /gone
whiteout /dir
file /new mtime=2024-05-06 owner=1:2 text="n\n"
link /hard to=/new
file /old mtime=2015-01-01 repeat=x size=200
symlink "/a link" to=d
config {"author": "me", "config": {"Env": ["A=2"]}, "history": [{"created_by": "low"}, {"created_by": "RUN x # buildkit"}]}
`

// above is the image of described, as if a builder had made it on its base.
func above(t *testing.T, b *Built) v1.Image {
	img := b.bases["high"]
	delete(b.bases, "high")
	return img
}

func TestDescribe(t *testing.T) {
	b := lay(t, described)
	m, err := b.Describe(above(t, b), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	config, err := m.ConfigText()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(m.Tree, "\n") + "\n" + config + strings.Join(m.History, "\n")
	want := `symlink "/a link" to=d mtime=2010-01-01
- /dir
- /gone
file /hard owner=1:2 text="n\n"
link /new to=/hard
file /old mtime=2015-01-01 size=200 sha256=aa20c23e3201834050679e1d88941b9a6fed0557c9a705cb2c315e2e63fd486d
{
	"Env": ["A=2"],
	"User": null,
	"author": "me"
}
RUN x`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCheck(t *testing.T) {
	b := lay(t, described)
	m, err := b.Describe(above(t, b), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	right := strings.Join(m.Tree, "\n")
	config := `{"Env": ["A=2"], "User": null, "author": "me"}`
	for _, c := range []struct{ what, tree, config, want string }{
		{"right", right, config, ""},
		{"with comments", "# c\n\n" + right + "\n", config, ""},
		{"content", strings.Replace(right, `text="n\n"`, `text="m"`, 1), config, `want file /hard owner=1:2 text="m"`},
		{"time", strings.Replace(right, "2015-01-01", "2015-01-02", 1), config, "want file /old mtime=2015-01-02"},
		{"now", strings.Replace(right, " mtime=2015-01-01", "", 1), config, "got  file /old mtime=2015-01-01"},
		{"owner", strings.Replace(right, "1:2", "1:3", 1), config, "want file /hard owner=1:3"},
		{"link", strings.Replace(right, "link /new to=/hard", `file /new owner=1:2 text="n\n"`, 1), config, "got  link /new to=/hard"},
		{"target", strings.Replace(right, "to=d", "to=e", 1), config, `got  symlink "/a link" to=d`},
		{"too much", right + "\nfile /more", config, "want file /more"},
		{"too little", strings.Replace(right, "- /dir\n", "", 1), config, "got  - /dir (not wanted)"},
		{"field", right, `{"Env": ["A=3"], "User": null, "author": "me"}`, `config Env: want ["A=3"], got ["A=2"]`},
		{"field of the base", right, `{"Env": ["A=2"], "author": "me"}`, "config User: want that of the base, got null"},
	} {
		b.Want = Want{Tree: &c.tree, Config: &c.config}
		wrong, err := b.Check(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(wrong, "\n"); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestUpdate(t *testing.T) {
	b := lay(t, described+`-- want/tree --
file /old text="by hand"
file /wrong
-- differs --
buildkit /old content by hand
buildkit config author by hand
`)
	m, err := b.Describe(above(t, b), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Update(m, BuildKit, nil); err != nil {
		t.Fatal(err)
	}
	c, err := Read(b.File)
	if err != nil {
		t.Fatal(err)
	}
	if tree := *c.Want.Tree; !strings.Contains(tree, `file /old text="by hand"`) || strings.Contains(tree, "/wrong") || !strings.Contains(tree, "- /gone\n") {
		t.Errorf("tree:\n%s", tree)
	}
	if config := *c.Want.Config; strings.Contains(config, "author") || !strings.Contains(config, `"A=2"`) {
		t.Errorf("config:\n%s", config)
	}
	if len(c.Differs) != 2 || c.Want.History != nil {
		t.Errorf("%v, %v", c.Differs, c.Want.History)
	}
}
