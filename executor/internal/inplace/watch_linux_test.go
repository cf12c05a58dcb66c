package inplace

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// watchAnyway makes a driver watch although the commands of these tests have all
// capabilities: they use none to change a file unseen.
func watchAnyway(t testing.TB, d *Driver) {
	t.Helper()
	if strings.HasPrefix(d.watching.never, "commands have ") {
		d.watching.never = ""
	}
	if d.watching.never != "" {
		t.Skipf("the kernel cannot be watched here: %s", d.watching.never)
	}
}

// BenchmarkUnchanged is a command that changes nothing of 100,000 files.
func BenchmarkUnchanged(b *testing.B) {
	needJail(b)
	for _, watch := range []bool{false, true} {
		b.Run(fmt.Sprintf("watch=%v", watch), func(b *testing.B) {
			said := ""
			d := newDriver(b, Options{Debug: func(s string) { said = s }})
			if d.watching.never = "not wanted"; watch {
				d.watching.never = ""
			}
			var cs []layer.Change
			for i := range 100_000 {
				p := tree.Path(fmt.Sprintf("d%03d/e%02d", i/1000, i/10%100))
				if i%10 == 0 {
					cs = append(cs, sandboxtest.Dir(p, 0o755))
				}
				cs = append(cs, sandboxtest.File(p.Join(fmt.Sprint(i)), "x"))
			}
			box := open(b, d, sandboxtest.Shell(b), sandboxtest.Layer("many", nil, cs...))
			sh(b, box, "true")
			commit(b, box, "first")
			var capture time.Duration
			for b.Loop() {
				sh(b, box, "true")
				start := time.Now()
				if got := commit(b, box, ""); len(got) != 0 {
					b.Errorf("captured: %q", got)
				}
				capture += time.Since(start)
			}
			b.ReportMetric(float64(capture.Nanoseconds())/float64(b.N), "capture-ns/op")
			b.Log(said)
			b.StopTimer()
			box.Close()
		})
	}
}

var _ sandbox.Driver = (*Driver)(nil)
