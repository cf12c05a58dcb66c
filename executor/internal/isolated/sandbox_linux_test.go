package isolated

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// epoch is the time of all that layers put.
var epoch = time.Unix(1000000000, 0)

func dir(p tree.Path) layer.Change {
	return layer.Change{Path: p, Kind: layer.Put, Node: tree.Node{Type: tree.Dir, Mode: 0o755, MTime: epoch}}
}

func file(p tree.Path, data string) layer.Change {
	return layer.Change{
		Path: p, Kind: layer.Put,
		Node: tree.Node{Type: tree.File, Mode: 0o644, MTime: epoch, Size: int64(len(data))},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(data)), nil },
	}
}

func link(p, to tree.Path) layer.Change {
	return layer.Change{Path: p, Kind: layer.Put, Hard: to, Node: tree.Node{Type: tree.File, Mode: 0o644, MTime: epoch}}
}

func gone(p tree.Path) layer.Change   { return layer.Change{Path: p, Kind: layer.Delete} }
func opaque(p tree.Path) layer.Change { return layer.Change{Path: p, Kind: layer.Opaque} }

func with(c layer.Change, f func(*tree.Node)) layer.Change {
	f(&c.Node)
	return c
}

func lay(key string, cs ...layer.Change) sandbox.Layer {
	return sandbox.Layer{Key: key, Changes: func(context.Context) layer.Changes { return all(cs) }}
}

// toyLayer is the program that the tests run.
func toyLayer(t *testing.T) sandbox.Layer {
	t.Helper()
	program := func(p tree.Path, from string) layer.Change {
		st, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		return layer.Change{
			Path: p, Kind: layer.Put,
			Node: tree.Node{Type: tree.File, Mode: 0o755, MTime: epoch, Size: st.Size()},
			Open: func() (io.ReadCloser, error) { return os.Open(from) },
		}
	}
	cs := []layer.Change{dir(tree.Root), program("toy", "/proc/self/exe")}
	return lay("toy", cs...)
}

func driverFor(t *testing.T) sandbox.Driver {
	t.Helper()
	d, err := New(t.Context(), granted(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close the driver: %v", err)
		}
	})
	return d
}

func boxWith(t *testing.T, d sandbox.Driver, layers ...sandbox.Layer) sandbox.Sandbox {
	t.Helper()
	b, err := d.New(t.Context(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close the sandbox: %v", err)
		}
	})
	if err := b.Apply(t.Context(), append([]sandbox.Layer{toyLayer(t)}, layers...)...); err != nil {
		t.Fatal(err)
	}
	return b
}

// do runs toys, given as one line of words, and gives what they print.
func do(t *testing.T, b sandbox.Sandbox, line string) string {
	t.Helper()
	out, err := try1(t, b, sandbox.Process{Args: append([]string{"/toy"}, strings.Fields(line)...)})
	if err != nil {
		t.Errorf("%s: %v: %s", line, err, out)
	}
	return out
}

func try1(t *testing.T, b sandbox.Sandbox, p sandbox.Process) (string, error) {
	t.Helper()
	var out bytes.Buffer
	p.Output = &out
	err := b.Run(t.Context(), p)
	return out.String(), err
}

// commit gives what was captured, a line for each change.
func commit(t *testing.T, b sandbox.Sandbox, key string) []string {
	t.Helper()
	var out []string
	for c, err := range b.Commit(t.Context(), key) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, describe(t, c))
	}
	return out
}

func describe(t *testing.T, c layer.Change) string {
	t.Helper()
	switch c.Kind {
	case layer.Delete:
		return "- " + c.Path.Abs()
	case layer.Opaque:
		return "o " + c.Path.Abs()
	}
	n := c.Node
	s := fmt.Sprintf("%c %s %o %d:%d", " fdlpcb"[n.Type], c.Path.Abs(), n.Mode, n.UID, n.GID)
	switch {
	case c.Hard != "":
		s += " = " + c.Hard.Abs()
	case n.Type == tree.File:
		r, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 40 {
			b = b[:40]
		}
		s += fmt.Sprintf(" %q", b)
	case n.Type == tree.Symlink:
		s += " -> " + n.Link
	}
	for k, v := range n.Xattrs {
		s += fmt.Sprintf(" %s=%q", k, v)
	}
	return s
}

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if !slices.Equal(got, lines) {
		t.Errorf("captured\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

func read(t *testing.T, b sandbox.Sandbox, p tree.Path) string {
	t.Helper()
	r, err := b.Open(p)
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestInsideSuite(t *testing.T) {
	if granted(t).SingleID() {
		t.Skip("the suite has files of several users")
	}
	sandboxtest.Run(t, driverFor)
}

func TestInsideRun(t *testing.T) {
	b := boxWith(t, driverFor(t))
	g := granted(t)
	t.Logf("granted: %+v", *g)
	if out := do(t, b, "id ; ls / ; ls /dev"); !strings.HasPrefix(out, "0 0\ndev etc ") || !strings.Contains(out, " toy ") {
		t.Errorf("output is %q", out)
	}
	do(t, b, "write /dev/null x ; cat /etc/hosts ; cat /etc/resolv.conf ; cat /etc/hostname ; cat /proc/self/status ; cat /dev/stdin")
	if out := do(t, b, "cat /etc/hosts"); !strings.Contains(out, "localhost") {
		t.Errorf("no localhost in %q", out)
	}
	if out := do(t, b, "mount"); !strings.Contains(out, "not permitted") {
		t.Errorf("mounting says %q", out)
	}
	do(t, b, "refused /proc/sysrq-trigger ; refused /proc/sys/kernel/core_pattern ; refused /sys/kernel/uevent_helper")
	if out := do(t, b, "pids"); g.FreshProc && out != "2\n" {
		t.Errorf("a command sees %s processes", out)
	}
	want(t, commit(t, b, ""))

	// Edits of the mounted files and of /dev are the command's own.
	do(t, b, "write /etc/hosts x ; append /etc/resolv.conf y ; write /dev/shm/a b ; mkdir /dev/x")
	want(t, commit(t, b, ""))
	if out := do(t, b, "cat /etc/hosts"); out == "x" {
		t.Error("a command's /etc/hosts is the next one's")
	}
	_, err := try1(t, b, sandbox.Process{Args: []string{"/toy", "exit", "3"}})
	var exit *sandbox.ExitError
	if !errors.As(err, &exit) || exit.Status != 3 {
		t.Errorf("error is %v", err)
	}
}

func TestInsideCapture(t *testing.T) {
	b := boxWith(t, driverFor(t), lay("base",
		dir("d"), file("d/a", "a"), file("d/b", "b"), dir("d/sub"), file("d/sub/x", "x"),
		dir("e"), file("e/f", "f"), dir("m"), dir("m/n"), file("m/n/o", "o"),
		file("same", "same"), file("time", "time"), file("mode", "mode"), file("swap", "swap"),
		file("h1", "h"), link("h2", "h1"),
	))
	do(t, b, "append /d/a more ; rm /d/b ; rm /d/sub ; write /new n ; touch 5 /new")
	want(t, commit(t, b, "1"),
		"d /d 755 0:0", `f /d/a 644 0:0 "amore"`, "- /d/b", "- /d/sub", `f /new 644 0:0 "n"`)
	if got := read(t, b, "d/a") + read(t, b, "same"); got != "amoresame" {
		t.Errorf("read %q", got)
	}
	if _, err := tree.Stat(b, "d/b"); err == nil {
		t.Error("a deleted file is seen")
	}

	// A directory made anew hides what it held.
	do(t, b, "rm /e ; mkdir /e ; write /e/g g ; chmod 1777 /e")
	want(t, commit(t, b, "2"), "d /e 1777 0:0", "- /e/f", `f /e/g 644 0:0 "g"`)
	do(t, b, "absent /e/f ; cat /e/g")

	do(t, b, "mv /m /moved")
	want(t, commit(t, b, "3"), "- /m", "d /moved 755 0:0", "d /moved/n 755 0:0", `f /moved/n/o 644 0:0 "o"`)

	// What is as it was is no change.
	do(t, b, "write /same same ; touch 1000000000 /same ; chmod 600 /mode ; touch 7 /time")
	want(t, commit(t, b, "4"), `f /mode 600 0:0 "mode"`, `f /time 644 0:0 "time"`)

	do(t, b, "rm /swap ; mkdir /swap ; symlink /nowhere /swap/l ; mkfifo /swap/p ; rm /time ; symlink x /time")
	want(t, commit(t, b, "5"), "d /swap 755 0:0", "l /swap/l 777 0:0 -> /nowhere", "p /swap/p 644 0:0", "l /time 777 0:0 -> x")

	do(t, b, "ln /new /other ; ln /h1 /h3")
	want(t, commit(t, b, "6"),
		`f /h1 644 0:0 "h"`, "f /h2 644 0:0 = /h1", "f /h3 644 0:0 = /h1", `f /new 644 0:0 "n"`, "f /other 644 0:0 = /new")

	do(t, b, "chmod 700 /")
	want(t, commit(t, b, "7"), "d / 700 0:0")
	if out := do(t, b, "stat /"); !strings.HasPrefix(out, "/ 700 0:0 ") {
		t.Errorf("the root is %s", out)
	}
	want(t, commit(t, b, "8"))

	if granted(t).SingleID() {
		out, err := try1(t, b, sandbox.Process{Args: []string{"/toy", "id"}, User: "5"})
		var h interface{ Hint() string }
		if err == nil || !errors.As(err, &h) || !strings.Contains(h.Hint(), "subuid") {
			t.Errorf("a second user: %v %s", err, out)
		}
		return
	}
	do(t, b, "write /own x ; chown 1234 /own ; chmod 4755 /own ; setxattr /own user.k v")
	want(t, commit(t, b, "9"), `f /own 4755 1234:1234 "x" user.k="v"`)
	do(t, b, "stat /own")
}

// TestInsideSeveralRuns captures the changes of several commands as one.
func TestInsideSeveralRuns(t *testing.T) {
	b := boxWith(t, driverFor(t), lay("", file("a", "a"), file("b", "b")))
	do(t, b, "write /c c ; rm /a")
	do(t, b, "absent /a ; append /c d ; write /a anew")
	want(t, commit(t, b, ""), `f /a 644 0:0 "anew"`, `f /c 644 0:0 "cd"`)
	// What nobody committed stays below what is applied.
	do(t, b, "write /d d")
	if err := b.Apply(t.Context(), lay("", file("e", "e"), gone("b"))); err != nil {
		t.Fatal(err)
	}
	want(t, commit(t, b, ""))
	do(t, b, "cat /d ; cat /e ; absent /b")
	if got := read(t, b, "d") + read(t, b, "e"); got != "de" {
		t.Errorf("read %q", got)
	}
}

// TestInsideLayers stacks layers and compares what a command sees with what the
// state says.
func TestInsideLayers(t *testing.T) {
	odd := func(n *tree.Node) { n.Mode = 0o1711; n.MTime = time.Unix(77, 0) }
	b := boxWith(t, driverFor(t),
		lay("1", with(dir("p"), odd), dir("p/q"), file("p/q/a", "a"), file("p/q/b", "b"), dir("o"), file("o/a", "a"), file("o/b", "b"), file("f", "f"), dir("g")),
		lay("2", file("p/q/c", "c"), gone("p/q/a")), // p and p/q are only implied
		lay("3", opaque("o"), file("o/c", "c"), gone("no/such/file")),
		lay("4", link("p/q/link", "f"), with(dir("f2"), odd), file("f2/x", "x")),
		lay("5", gone("f2"), file("g", "now a file")),
		lay("6", dir("f2"), file("g/h", "and a directory again")),
	)
	if out, want := do(t, b, "stat /p ; ls /p/q ; ls /o ; cat /p/q/link ; ls /f2 ; ls /g ; absent /no"), "/p 1711 0:0 77\nb c link \nc \nf\nh \n"; out != strings.Replace(want, "f\nh", "f"+"\nh", 1) {
		t.Errorf("output is %q, want %q", out, want)
	}
	compare(t, b)
	// Written through one of its names, a file of a lower layer becomes two.
	do(t, b, "append /f +")
	if out := do(t, b, "cat /f ; cat /p/q/link"); out != "f+f" {
		t.Errorf("the file and its link read %q", out)
	}
	want(t, commit(t, b, ""), `f /f 644 0:0 "f+"`)
}

// compare walks the root by a command, which sees what the kernel makes of the
// directories, and by the sandbox, which says what the layers do.
func compare(t *testing.T, b sandbox.Sandbox) {
	t.Helper()
	out := do(t, b, "walk /")
	for _, err := range b.Commit(t.Context(), "") {
		t.Errorf("looking changes something: %v", err)
	}
	var said strings.Builder
	for e, err := range b.Walk(tree.Root) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Path == tree.Root || unseen(e.Path) {
			continue
		}
		n := e.Node
		fmt.Fprintf(&said, "%s %o %d:%d %d %s", e.Path.Abs(), n.Mode, n.UID, n.GID, n.MTime.Unix(), n.Link)
		if n.Type == tree.File {
			fmt.Fprintf(&said, "%q links=%d", read(t, b, e.Path), max(1, len(b.(*box).state.Tree().Links(e.Path))))
		}
		said.WriteByte('\n')
	}
	if out != said.String() {
		t.Errorf("a command sees\n%s\nthe layers say\n%s", out, said.String())
	}
}

// unseen is what the tests do not look at: the toy, and what is mounted.
func unseen(p tree.Path) bool {
	return slices.ContainsFunc([]tree.Path{"toy", "proc", "sys", "dev", "etc"}, p.Within)
}

// TestInsideRandomLayers stacks layers of all kinds of changes.
func TestInsideRandomLayers(t *testing.T) {
	d := driverFor(t)
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var root tree.Tree
			var layers []sandbox.Layer
			for range 6 {
				cs := randomLayer(r, &root, granted(t))
				if err := layer.Overlay(&root, all(cs)); err != nil {
					t.Fatal(err)
				}
				layers = append(layers, lay("", cs...))
			}
			b := boxWith(t, d, layers...)
			compare(t, b)
			if t.Failed() {
				for i, l := range layers {
					t.Logf("layer %d", i)
					for c := range l.Changes(t.Context()) {
						t.Log(c.Kind, c.Path, c.Node.Type, c.Hard)
					}
				}
			}
		})
	}
}

func randomLayer(r *rand.Rand, below *tree.Tree, g *Grant) []layer.Change {
	path := func() tree.Path {
		var names []string
		for range 1 + r.IntN(3) {
			names = append(names, string(rune('k'+r.IntN(3))))
		}
		return tree.Clean(strings.Join(names, "/"))
	}
	at := map[tree.Path]layer.Change{}
	for range 1 + r.IntN(6) {
		p := path()
		var c layer.Change
		switch r.IntN(8) {
		case 0, 1:
			c = file(p, fmt.Sprint(r.Uint32()))
		case 2, 3:
			c = dir(p)
		case 4:
			c = layer.Change{Path: p, Kind: layer.Put, Node: tree.Node{Type: tree.Symlink, Mode: 0o777, MTime: epoch, Link: "k"}}
		case 5:
			c = gone(p)
		case 6:
			c = opaque(p)
		case 7: // a link to a file of a layer below
			q := path()
			if n, ok := below.Lookup(q); ok && n.Type == tree.File && !q.Within(p) && !p.Within(q) {
				c = layer.Change{Path: p, Kind: layer.Put, Node: n, Hard: q}
			}
		}
		if c.Kind == 0 {
			continue
		}
		if c.Kind == layer.Put && c.Hard == "" && c.Node.Type != tree.Symlink {
			c.Node.Mode = tree.Mode(0o400 + r.IntN(0o400))
			c.Node.MTime = time.Unix(int64(r.IntN(1e9)), 0)
			if !g.SingleID() {
				c.Node.UID = r.IntN(100)
			}
		}
		at[p] = c
	}
	// Nothing is below what is no directory.
	for p, c := range at {
		for q := range at {
			if q != p && q.Within(p) && c.Kind == layer.Put && !c.Node.IsDir() {
				delete(at, q)
			}
		}
	}
	// A link whose target this layer touches would depend on the order.
	for p, c := range at {
		if c.Hard == "" {
			continue
		}
		for q := range at {
			if q != p && (c.Hard.Within(q) || q.Within(c.Hard) || p.Within(q) || q.Within(p)) {
				delete(at, p)
			}
		}
	}
	var out []layer.Change
	for _, p := range slices.SortedFunc(maps.Keys(at), tree.Compare) {
		out = append(out, at[p])
	}
	return out
}

// TestInsideOpaqueRoot has a layer that hides all below.
func TestInsideOpaqueRoot(t *testing.T) {
	b := boxWith(t, driverFor(t), lay("", file("old", "old")), lay("", opaque(tree.Root)), toyAgain(t))
	do(t, b, "absent /old ; ls /")
	if _, err := tree.Stat(b, "old"); err == nil {
		t.Error("the old file is seen")
	}
}

func toyAgain(t *testing.T) sandbox.Layer {
	l := toyLayer(t)
	l.Key = ""
	return l
}

// TestInsideSharing uses layers twice, on bases that differ.
func TestInsideSharing(t *testing.T) {
	d := driverFor(t)
	var opened int
	var mu sync.Mutex
	shared := sandbox.Layer{Key: "shared", Changes: func(context.Context) layer.Changes {
		mu.Lock()
		opened++
		mu.Unlock()
		return all([]layer.Change{file("x/y/z", "z"), gone("x/w")})
	}}
	mode := func(m tree.Mode) func(*tree.Node) { return func(n *tree.Node) { n.Mode = m } }
	var wg sync.WaitGroup
	boxes := make([]sandbox.Sandbox, 4)
	for i := range boxes {
		wg.Go(func() {
			m := tree.Mode(0o700 + i/2) // two of each
			boxes[i] = boxWith(t, d, lay(fmt.Sprint("base", i/2), with(dir("x"), mode(m)), file("x/w", "w")), shared)
		})
	}
	wg.Wait()
	for i, b := range boxes {
		if out, want := do(t, b, "stat /x"), fmt.Sprintf("/x %o 0:0 1000000000\n", 0o700+i/2); out != want {
			t.Errorf("sandbox %d: %q, want %q", i, out, want)
		}
		do(t, b, "absent /x/w ; cat /x/y/z")
		compare(t, b)
	}
	if opened != 1 {
		t.Errorf("the layer was opened %d times", opened)
	}

	// A commit is a layer for others, on the same base without being read.
	do(t, boxes[0], "write /x/new n")
	want(t, commit(t, boxes[0], "run"), "d /x 700 0:0", `f /x/new 644 0:0 "n"`)
	boxes[0].Close()
	unread := sandbox.Layer{Key: "run", Changes: func(context.Context) layer.Changes {
		return layer.Fail(errors.New("the stream was asked for"))
	}}
	if err := boxes[1].Apply(t.Context(), unread); err != nil {
		t.Errorf("the same base: %v", err)
	}
	compare(t, boxes[1])
	if err := boxes[2].Apply(t.Context(), lay("run", with(dir("x"), mode(0o700)), file("x/new", "n"))); err != nil {
		t.Errorf("another base: %v", err)
	}
	compare(t, boxes[2])
	// What was committed without a read is no change if it is written again.
	do(t, boxes[1], "write /x/new n")
	if got := commit(t, boxes[1], ""); len(got) > 2 {
		t.Errorf("captured %v", got)
	}
}

// TestInsideCancelledApply has one stage give up while another waits for the same
// layer.
func TestInsideCancelledApply(t *testing.T) {
	d := driverFor(t)
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan struct{})
	slow := sandbox.Layer{Key: "k", Changes: func(ctx context.Context) layer.Changes {
		return func(yield func(layer.Change, error) bool) {
			close(begun)
			<-ctx.Done()
			yield(layer.Change{}, context.Cause(ctx))
		}
	}}
	a, err := d.New(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- a.Apply(ctx, slow) }()
	<-begun
	go func() {
		time.Sleep(20 * time.Millisecond)
		cancel()
	}()
	b := boxWith(t, d, lay("k", file("f", "f")))
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if out := do(t, b, "cat /f"); out != "f" {
		t.Errorf("read %q", out)
	}
	bad := errors.New("broken pipe")
	err = b.Apply(t.Context(), sandbox.Layer{Changes: func(context.Context) layer.Changes {
		return func(yield func(layer.Change, error) bool) {
			if yield(file("g", "g"), nil) {
				yield(layer.Change{}, bad)
			}
		}
	}})
	if !errors.Is(err, bad) {
		t.Errorf("error is %v", err)
	}
}

// TestInsideManyLayers mounts more layers than long paths would let it.
func TestInsideManyLayers(t *testing.T) {
	var layers []sandbox.Layer
	const n = 200
	for i := range n {
		layers = append(layers, lay(fmt.Sprint(i), file(tree.Path(fmt.Sprint("f", i)), fmt.Sprint(i)), file("last", fmt.Sprint(i))))
	}
	b := boxWith(t, driverFor(t), layers...)
	if out := do(t, b, "cat /f0 ; cat /f199 ; cat /last"); out != "0199199" {
		t.Errorf("output is %q", out)
	}
	for range maxLowers - n {
		layers = layers[:0]
		layers = append(layers, lay("", file("more", "m")))
		if err := b.Apply(t.Context(), layers...); err != nil {
			t.Fatal(err)
		}
	}
	_, err := try1(t, b, sandbox.Process{Args: []string{"/toy", "id"}})
	var h interface{ Hint() string }
	if !errors.As(err, &h) || h.Hint() == "" || !strings.Contains(err.Error(), "layers") {
		t.Errorf("too many layers: %v", err)
	}
}

// TestInsideMissingTargets runs on a root whose layers have removed or replaced
// what is mounted on.
func TestInsideMissingTargets(t *testing.T) {
	l := func(p tree.Path, to string) layer.Change {
		return layer.Change{Path: p, Kind: layer.Put, Node: tree.Node{Type: tree.Symlink, Mode: 0o777, MTime: epoch, Link: to}}
	}
	b := boxWith(t, driverFor(t),
		lay("", gone("etc"), gone("dev"), gone("proc"), gone("sys")),
		lay("", dir("etc"), l("etc/resolv.conf", "../run/stub/resolv.conf"), dir("real"), l("dev", "real/dev")),
	)
	do(t, b, "cat /etc/resolv.conf ; cat /run/stub/resolv.conf ; write /real/dev/null x ; cat /proc/self/status ; cat /etc/hosts")
	want(t, commit(t, b, ""))
	do(t, b, "absent /nowhere ; write /etc/own x")
	want(t, commit(t, b, ""), "d /etc 755 0:0", `f /etc/own 644 0:0 "x"`)
}

func TestInsideDevices(t *testing.T) {
	d := driverFor(t)
	dev := layer.Change{Path: "d/null", Kind: layer.Put, Node: tree.Node{
		Type: tree.CharDevice, Mode: 0o666, MTime: epoch, Dev: tree.Dev{Major: 1, Minor: 3},
	}}
	hard := layer.Change{Path: "d/null2", Kind: layer.Put, Node: dev.Node, Hard: "d/null"}
	b := boxWith(t, d, lay("", dir("d"), file("d/null", "a file of the layer below")), lay("", dev, hard))
	e, err := tree.Stat(b, "d/null")
	if err != nil || e.Node.Type != tree.CharDevice {
		t.Errorf("%+v, %v", e, err)
	}
	if granted(t).Method.User {
		do(t, b, "absent /d/null") // a ghost, but not the file below it
	} else {
		do(t, b, "stat /d/null ; stat /d/null2 ; refused /d/null") // root of the machine opens no device but those given
		do(t, b, "mknod /made")
		want(t, commit(t, b, ""), "c /made 644 0:0")
	}
	want(t, commit(t, b, ""))
}

// TestInsideOwners unpacks a file of another user.
func TestInsideOwners(t *testing.T) {
	d := driverFor(t)
	b, err := d.New(t.Context(), "owners")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f := with(file("f", "f"), func(n *tree.Node) { n.UID, n.GID = 42, 43 })
	err = b.Apply(t.Context(), toyLayer(t), lay("", f))
	if granted(t).SingleID() {
		var ie *IDError
		if !errors.As(err, &ie) || ie.IDs != 1 || !strings.Contains(ie.Hint(), "newuidmap") {
			t.Errorf("error is %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	compare(t, b)
	out, err := try1(t, b, sandbox.Process{Args: []string{"/toy", "id"}, User: "42:43"})
	if err != nil || out != "42 43\n" {
		t.Errorf("%q, %v", out, err)
	}
}
