package plan_test

import (
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

const (
	// pairs is how many pairs of steps are compared that differ in what matters;
	// KANIKO_TEST_PAIRS says another number, and KANIKO_TEST_SEED another beginning.
	pairs = 200_000
	// family is how many steps descend from one another, each a little changed.
	family = 30
	// streams is how many goroutines compare, each with random numbers of its own.
	streams = 4
	// explained is of how many pairs one is explained.
	explained = 10
)

// matter is the step with all that its result does not depend on left out, by rules
// of its own: two steps with the same matter have the same result.
func (d dice) matter(i *input) *input {
	m := d.clone(i)
	switch m.Kind {
	case 0:
		matterOfRun(&m.Run)
		m.In.Platform.OSVersion = ""
	case 1:
		m.Copy.From = nil
		if m.Copy.Link {
			m.In.Below = plan.Identity{}
		}
	}
	slices.Sort(m.In.Ignored)
	if m.Kind != 0 || len(m.In.Ignored) == 0 {
		m.In.Ignored = nil // only what commands leave is ignored
	}
	if m.Kind != 0 {
		m.In.Platform.OS, m.In.Platform.Architecture, m.In.Platform.Variant, m.In.Platform.OSVersion = "", "", "", ""
	}
	matterOfIdentity(&m.In.Below)
	for n := range m.In.Readings {
		matterOfReading(&m.In.Readings[n])
	}
	if !m.In.Clamp.IsZero() {
		m.In.Clamp = time.Unix(m.In.Clamp.Unix(), 0)
	}
	return m
}

func matterOfRun(op *plan.Run) {
	op.Env = slices.DeleteFunc(op.Env, func(e string) bool {
		return slices.ContainsFunc(op.Unkeyed, func(name string) bool { return len(e) > len(name) && e[:len(name)+1] == name+"=" })
	})
	slices.Sort(op.Env)
	if len(op.Env) == 0 {
		op.Env = nil
	}
	op.Unkeyed = nil
	for n := range op.Mounts {
		m := &op.Mounts[n]
		m.Required = false
		if m.Type == "bind" || m.From != nil {
			m.From = &plan.Source{} // something is read, and the reading says what
		}
		if m.Type == "bind" {
			m.From = nil
		}
	}
}

func matterOfIdentity(i *plan.Identity) {
	if i.Step != "" {
		i.Image = plan.Identity{}.Image
	}
}

func matterOfReading(r *plan.Reading) {
	if !r.Listed {
		matterOfIdentity(&r.From)
		r.Files, r.Owners = nil, false
		return
	}
	r.From = plan.Identity{}
	listed := map[tree.Path]bool{}
	for n := range r.Files {
		f := &r.Files[n]
		if f.Hard != "" && listed[f.Hard] {
			*f = plan.File{Entry: tree.Entry{Path: f.Path, Hard: f.Hard}, As: f.As}
		} else {
			f.Hard = ""
			matterOfNode(f, r.Owners)
		}
		listed[f.Path] = true
	}
	if !slices.ContainsFunc(r.Files, func(f plan.File) bool { return f.Hard == "" }) {
		r.Owners = false // of nothing
	}
}

func matterOfNode(f *plan.File, owners bool) {
	n := f.Node
	kept := tree.Node{Type: n.Type, Mode: n.Mode, Xattrs: n.Xattrs}
	if owners {
		kept.UID, kept.GID = n.UID, n.GID
	}
	switch n.Type {
	case tree.File:
	case tree.Dir:
		f.Digest = ""
	case tree.Symlink:
		kept.Link, f.Digest = n.Link, ""
	default:
		kept.Dev, f.Digest = n.Dev, ""
	}
	f.Node = kept
}

// number is that of a variable of the environment, or else the usual.
func number(t *testing.T, name string, usual uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return usual
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Steps that differ in something that matters have different definitions, however
// little it is; others have the same.
func TestDefinition_property(t *testing.T) {
	seed, n := number(t, "KANIKO_TEST_SEED", 1), number(t, "KANIKO_TEST_PAIRS", pairs)
	t.Logf("KANIKO_TEST_SEED=%d KANIKO_TEST_PAIRS=%d", seed, n)
	for stream := range uint64(streams) {
		t.Run(strconv.FormatUint(stream, 10), func(t *testing.T) {
			t.Parallel()
			c := comparison{T: t, dice: newDice(seed, stream)}
			for c.different < n/streams {
				c.family()
			}
			t.Logf("%d pairs were alike, %d were not", c.same, c.different)
			if c.same < n/streams/10 {
				t.Error("too few are alike to show anything")
			}
		})
	}
}

type comparison struct {
	*testing.T
	dice
	same, different uint64
}

// family compares steps that descend from one another: each with the one before, and
// with any that has the same definition.
func (c *comparison) family() {
	known := map[cachekey.Definition]*input{}
	step := c.input()
	a, matter := step.definition(), c.matter(step)
	for n := range family {
		known[a] = matter
		for range 1 + c.IntN(2) {
			c.mutate(step)
		}
		b, later := step.definition(), c.matter(step)
		equal := reflect.DeepEqual(matter, later)
		if (a == b) != equal {
			c.Fatalf("equal in what matters: %v; definitions: %v\n%+v\n%+v\n%s\n%s", equal, a == b, matter, later, a, b)
		}
		if before := known[b]; before != nil && !reflect.DeepEqual(before, later) {
			c.Fatalf("the same definition\n%+v\n%+v\n%s", before, later, b)
		}
		if n%explained == 0 && (len(cachekey.Explain(a, b)) == 0) != equal {
			c.Fatalf("no explanation\n%s\n%s", a, b)
		}
		if equal {
			c.same++
		} else {
			c.different++
		}
		a, matter = b, later
	}
}
