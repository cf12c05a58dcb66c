package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/tools/bench/builder"
	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
)

// measured is a report of one round, of wall seconds by workload and builder, with twice as much processor time.
func measured(builders []string, wall map[string]map[string]float64) *report {
	r := &report{}
	for _, name := range builders {
		r.builders = append(r.builders, builder.Builder{Name: name})
	}
	for load, costs := range wall {
		for who, seconds := range costs {
			r.add(load, who, builder.Sample{Wall: seconds, CPU: 2 * seconds, Own: 100e6}, fixture.Manifest{})
		}
	}
	return r
}

func TestReport_base(t *testing.T) {
	r := measured([]string{"buildah", "executor in place", "buildkit"}, map[string]map[string]float64{
		"copy": {"buildah": 4, "buildkit": 3, "executor in place": 2}, "warmed": {"executor in place": 1}, "alone": {"executor in place": 1},
	})
	ours, peer := builder.Builder{Name: "executor in place"}, builder.Builder{Name: "buildah"}
	if b := r.base(Workload{Name: "copy"}, ours); b == nil || *b != (cost{3, 6}) {
		t.Errorf("set against %v, want the better peer", b)
	}
	if b := r.base(Workload{Name: "copy"}, peer); b != nil {
		t.Errorf("a peer is set against %v", b)
	}
	if b := r.base(Workload{Name: "alone"}, ours); b != nil {
		t.Errorf("set against %v without a peer", b)
	}
	if b := r.base(Workload{Name: "warmed", Against: "copy"}, ours); b == nil || *b != (cost{2, 4}) {
		t.Errorf("set against %v, want its own copy", b)
	}
}

// Each measure is that of whoever is better at it.
func TestReport_peerEach(t *testing.T) {
	r := measured([]string{"buildah", "buildkit"}, nil)
	r.add("copy", "buildah", builder.Sample{Wall: 1, CPU: 4}, fixture.Manifest{})
	r.add("copy", "buildkit", builder.Sample{Wall: 2, CPU: 3}, fixture.Manifest{})
	if p := r.peer("copy"); p == nil || *p != (cost{1, 3}) {
		t.Errorf("%v, want 1 s and 3 s", p)
	}
}

func TestReport_floor(t *testing.T) {
	load := Workload{Name: "copy", Floor: []Part{{Name: "untar"}, {Name: "sha256"}}}
	r := measured(nil, map[string]map[string]float64{"copy": {"floor: untar": 300}})
	if f := r.floor(load); f != nil {
		t.Errorf("%v with a part missing", f)
	}
	r.add("copy", "floor: sha256", builder.Sample{Wall: 1, CPU: 0.5}, fixture.Manifest{})
	if f := r.floor(load); f == nil || f.cpu != 600.5 || f.wall < 300 {
		t.Errorf("%v, want 600.5 s of processor time in no less than 300 s", f)
	}
}

func TestMisses(t *testing.T) {
	peer, floor := &cost{10, 10}, &cost{4, 4}
	for name, c := range map[string]struct {
		load        Workload
		cost        cost
		memory      float64
		peer, floor *cost
		missed      []string
		targets     int
	}{
		"all met":      {Workload{}, cost{6, 6}, 149e6, peer, floor, nil, 5},
		"peer":         {Workload{}, cost{7.1, 6}, 1, peer, nil, []string{"wall 0.71 > 0.70 of the peer"}, 3},
		"floor":        {Workload{}, cost{6, 6.4}, 1, peer, floor, []string{"CPU 1.60 > 1.50 of the floor"}, 5},
		"memory":       {Workload{}, cost{1, 1}, 151e6, nil, nil, []string{"151 > 150 MB"}, 1},
		"other memory": {Workload{Memory: 400e6}, cost{1, 1}, 399e6, nil, nil, nil, 1},
		"step":         {Workload{PerStep: true}, cost{0.06, 0.06}, 1e9, nil, nil, []string{"wall 60.00 > 50.00 ms"}, 1},
	} {
		missed, targets := misses(c.load, c.cost, c.memory, c.peer, c.floor)
		if !slices.Equal(missed, c.missed) || targets != c.targets {
			t.Errorf("%s: %q of %d, want %q of %d", name, missed, targets, c.missed, c.targets)
		}
	}
}

func TestReport_print(t *testing.T) {
	r := measured([]string{"buildah", "executor isolated"}, map[string]map[string]float64{
		"few":  {"buildah": 10, "executor isolated": 2},
		"more": {"buildah": 30, "executor isolated": 8, "floor: untar": 1, "floor: walk": 0.5},
	})
	r.workloads = []Workload{{Name: "few"}, {Name: "more", Less: "few", Steps: 10, Step: "walk", Floor: []Part{{Name: "untar"}, {Name: "walk"}}}}
	var b bytes.Buffer
	r.print(&b)
	for _, want := range []string{
		`\| few \| executor isolated \| 1 \| .* \| 0.20 \| 0.20 \|  \|  \| met \|`,
		`\| more, a step \| buildah \| 1 \| \*\*2.00\*\* `,
		`\| more, a step \| executor isolated \| 1 \| \*\*0.60\*\* .* \| 0.30 \| 0.30 \| 1.20 \| 1.20 \| \*\*missed:\*\* wall 600.00 > 50.00 ms \|`,
		`\| more, a step \| floor \| \| \*\*0.50\*\* \| \*\*1.00\*\* \|`,
		`\| more \| floor: untar \| 1 \|`,
	} {
		if !regexp.MustCompile(want).MatchString(b.String()) {
			t.Errorf("the table has no %s:\n%s", want, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if n := strings.Count(line, "|"); strings.HasPrefix(line, "|") && n != 16 {
			t.Errorf("%d bars, want 16: %s", n, line)
		}
	}
}

func TestOptions_fixtures(t *testing.T) {
	o := options{only: regexp.MustCompile(""), shrink: 1, names: []string{"layers", "files"}}
	if got := o.fixtures(); !slices.Equal(got, []string{"debian", "files"}) {
		t.Errorf("%q", got)
	}
	o.names = []string{"push"}
	if got := o.fixtures(); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestSized(t *testing.T) {
	if s := sized(1); s.files != 1_000_000 || s.layer != 10<<30 || s.unchanged != 100_000 {
		t.Errorf("%+v", s)
	}
	if s := sized(1 << 40); s != (sizes{1, 1, 1, 1, 1}) {
		t.Errorf("%+v", s)
	}
}
