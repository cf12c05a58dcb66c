package cachekey

import (
	"fmt"
	"strings"
	"testing"
)

// text makes a definition of lines that are in its form already.
func text(t *testing.T, lines string) Definition {
	t.Helper()
	d := Definition(version + "\n" + strings.TrimLeft(lines, "\n"))
	if err := check(d); err != nil {
		t.Fatalf("%q: %v", d, err)
	}
	return d
}

func sum(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// The sentences for what package plan writes are tested there.
func TestExplain(t *testing.T) {
	long := strings.Repeat("make this and that; ", 10)
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"nothing", "run a\n", "run a\n", nil},
		{
			"another instruction", "parent scratch\nrun a\nenv A 1\n", "parent scratch\ncopy /x file\n",
			[]string{"it is another instruction: run a → copy /x file"},
		},
		{
			"what tells most comes first",
			"parent step " + sum("1") + "\nrun /bin/sh -c a\nenv A 1\nmount bind /m\nfrom files\nfile 0644 " + sum("1") + " a\n",
			"parent step " + sum("2") + "\nrun /bin/sh -c b\nenv A 2\nmount bind /m\nfrom files\nfile 0644 " + sum("2") + " a\n",
			[]string{
				"the command changed: a → b", "variable A: 1 → 2", "file a changed (mounted at /m)",
				"the step before changed: the cause is an earlier step",
			},
		},
		{
			"of long values the part that differs",
			fmt.Sprintf("run %q\n", long+"make all"), fmt.Sprintf("run %q\n", long+"make none"),
			[]string{`the command changed: … and that; make all" → … and that; make none"`},
		},
		{
			"a value that is longer still", "env A a\n", "env A a" + strings.Repeat("b", 300) + "\n",
			[]string{"variable A: a → a" + strings.Repeat("b", maxShown-1) + "…"},
		},
		{
			"names that need quotes", "file 0644 " + sum("1") + " \"a b\"\n", "file 0644 " + sum("2") + " \"a b\"\n",
			[]string{`file "a b" changed`},
		},
		{
			"renamed", "file 0644 " + sum("1") + " old\nfile 0644 " + sum("2") + " x\n", "file 0755 " + sum("1") + " new\nfile 0644 " + sum("2") + " x\n",
			[]string{"file old became new, mode 0644 → 0755"},
		},
		{
			"two of a content are not renamed", "file 0644 " + sum("1") + " a\n", "file 0644 " + sum("1") + " b\nfile 0644 " + sum("1") + " c\n",
			[]string{"file a is gone", "file b is new", "file c is new"},
		},
		{
			"an attribute belongs to its file", "file 0644 " + sum("1") + " a\nfile 0644 " + sum("1") + " b\nxattr user.x 1\n",
			"file 0644 " + sum("1") + " a\nxattr user.x 1\nfile 0644 " + sum("1") + " b\n",
			[]string{"extended attribute user.x of b is gone", "extended attribute user.x of a is new"},
		},
		{
			"known by another name", "as l1\nfile 0644 " + sum("1") + " x\nxattr user.x 1\nas l2\ndirectory 0755 y\n",
			"as m1\nfile 0644 " + sum("1") + " x\nxattr user.x 1\nas m2\ndirectory 0755 y\n",
			[]string{"file l1 became m1", "directory l2 is gone", "directory m2 is new"},
		},
		{
			"what belongs to a file comes with it", "file 0644 " + sum("1") + " a\n",
			"file 0644 " + sum("1") + " a\nfile 0644 " + sum("2") + " b\nxattr user.x 1\n", []string{"file b is new"},
		},
		{
			"and to a mount", "mount bind /a\nsource x\nmade 0000 0:0\nfrom files\nfile 0644 " + sum("1") + " x\n",
			"mount bind /b\nsource x\nmade 0000 0:0\nfrom files\nfile 0644 " + sum("1") + " x\n",
			[]string{"the mount bind /a is gone", "the mount bind /b is new"},
		},
		{
			"mounts in another order", "mount tmpfs /a\nmade 0000 0:0\nmount tmpfs /b\nmade 0000 0:0\n",
			"mount tmpfs /b\nmade 0000 0:0\nmount tmpfs /a\nmade 0000 0:0\n",
			[]string{"the order changed: mount tmpfs /a"},
		},
		{
			"owners begin to matter", "file 0644 " + sum("1") + " a\nfile 0644 " + sum("1") + " b\n",
			"file 0644 " + sum("1") + " 0:0 a\nfile 0644 " + sum("1") + " 0:0 b\n",
			[]string{"whether the owners of files matter changed"},
		},
		{"the order of options", "exclude a\nexclude b\n", "exclude b\nexclude a\n", []string{"the order changed: exclude a"}},
		{"words from the future", "fly\ncolour red\nold a\n", "swim far\ncolour blue\nnew b c\n", []string{
			"gone: fly", "colour red → blue", "gone: old a", "new: swim far", "new: new b c",
		}},
		{"lines that are too short", "file\nenv\nmount\nremote\nxattr\nparent\nfrom\n", "env A\nremote R\n", nil},
	} {
		got := Explain(text(t, c.before), text(t, c.after))
		if c.want == nil && c.before != c.after {
			if len(got) == 0 {
				t.Errorf("%s: no reason", c.name)
			}
			continue
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestExplain_unread(t *testing.T) {
	good := text(t, "run a\n")
	if got := Explain("kaniko-cache 2\nrun a\n", good); len(got) != 1 || !strings.HasPrefix(got[0], "what the earlier result depends on cannot be read: ") {
		t.Errorf("got %q", got)
	}
	if got := Explain(good, good[:len(good)-1]); len(got) != 1 || !strings.HasPrefix(got[0], "what the later result depends on cannot be read: ") {
		t.Errorf("got %q", got)
	}
	if got := Explain("", "x"); len(got) != 2 {
		t.Errorf("got %q", got)
	}
}

// Of many differences the first are named, and the others are counted.
func TestExplain_bounded(t *testing.T) {
	var a, b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&a, "env V%02d 1\n", i)
		fmt.Fprintf(&b, "env V%02d 2\n", i)
	}
	fmt.Fprint(&a, "sources .\n")
	fmt.Fprint(&b, "sources .\n")
	for i := range 325 {
		fmt.Fprintf(&a, "file 0644 %s src/%03d\n", sum("1"), i)
		fmt.Fprintf(&b, "file 0644 %s src/%03d\n", sum("2"), i)
	}
	got := Explain(text(t, a.String()), text(t, b.String()))
	want := []string{
		"variable V00: 1 → 2", "variable V11: 1 → 2", "file src/000 changed", "file src/007 changed",
		"and 317 more files", "and 88 more differences",
	}
	for i, at := range []int{0, maxReasons - 1, maxReasons, maxReasons + maxFiles - 1, maxReasons + maxFiles, maxReasons + maxFiles + 1} {
		if len(got) != maxReasons+maxFiles+2 || got[at] != want[i] {
			t.Fatalf("got %q", got)
		}
	}
}

// FuzzExplain shows that any two definitions have an explanation exactly if they
// differ, and one of a bounded length.
func FuzzExplain(f *testing.F) {
	f.Add("run a\nenv A 1\nmount bind /a\nfrom files\nfile 0644 x a\nxattr u v\n", "run b\nenv A hidden x\nmount bind /a\nfrom image x\n")
	f.Add("copy /a file\nsources a\nfrom files\nfile 0644 x 0:0 a\nhard a b\nspecial 3 0644 1:2 c\n", "copy /a directory\nsources a\nfrom files\nsymlink 0777 a b\n")
	f.Add("remote u n hidden x\nchecksum x\ninline a b\nclamp 0\n", "remote u n\nunpack\nfrom scratch\nclamp x\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		before, after := Definition(version+"\n"+a), Definition(version+"\n"+b)
		got := Explain(before, after)
		if (len(got) == 0) != (before == after) || len(got) > maxReasons+maxFiles+2 {
			t.Errorf("%q and %q: %q", before, after, got)
		}
		for _, s := range got {
			if len(s) > 4000 || strings.Contains(s, "\n") {
				t.Errorf("%q and %q: %q", before, after, s)
			}
		}
	})
}
