package progress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// buffer is written by bars, in their own goroutine, and by the test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// logTo logs without times.
func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

var (
	makeStep  = &plan.Step{Text: "RUN make"}
	checkStep = &plan.Step{Text: "RUN make check"}
	build     = &plan.Stage{Name: "build", Steps: []*plan.Step{makeStep, checkStep}}
	final     = &plan.Stage{Index: 1, Steps: []*plan.Step{makeStep}}
)

func TestPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log, out strings.Builder
		p := New(Options{Log: logTo(&log), Output: &out})
		ctx, end := p.Stage(t.Context(), build)
		_, w, endStep := p.Step(ctx, build, checkStep)
		fmt.Fprint(w, "one\ntw")
		time.Sleep(1500 * time.Millisecond)
		fmt.Fprint(w, "o\r\n\x1b[31mred")
		img, err := random.Layer(10, "")
		if err != nil {
			t.Fatal(err)
		}
		endStep(engine.Outcome{Layer: img, Files: 3}, nil)
		_, _, endStep = p.Step(ctx, final, makeStep)
		endStep(engine.Outcome{}, fmt.Errorf("x: %w", context.Canceled))
		end(nil)
		p.Close()

		wantLog := `level=INFO msg="[build 2/2] RUN make check"
level=INFO msg="[build 2/2] done" took=1.5s changes=3
level=INFO msg="[stage 1 1/1] RUN make"
level=INFO msg="[stage 1 1/1] stopped" took=0s
`
		if log.String() != wantLog {
			t.Errorf("log:\n%s\nwant:\n%s", &log, wantLog)
		}
		if want := "[build 2/2] one\n[build 2/2] two\n[build 2/2] \x1b[31mred\n"; out.String() != want {
			t.Errorf("output %q, want %q", &out, want)
		}
		if got := p.Tail(); got != nil {
			t.Errorf("tail %q, but nothing failed", got)
		}
	})
}

func TestTail(t *testing.T) {
	var log strings.Builder
	p := New(Options{Log: logTo(&log), Output: io.Discard})
	_, w1, end1 := p.Step(t.Context(), build, makeStep)
	_, w2, end2 := p.Step(t.Context(), final, makeStep)
	for n := 1; n <= 50; n++ {
		fmt.Fprintf(w1, "line %d\n", n)
	}
	fmt.Fprint(w1, "10%\r20%\r30%")
	fmt.Fprint(w2, "other")
	end1(engine.Outcome{}, errors.New("exit status 2"))
	end2(engine.Outcome{}, errors.New("later"))
	got := p.Tail()
	if len(got) != tailLines || got[0] != "line 32" || got[tailLines-2] != "line 50" || got[tailLines-1] != "30%" {
		t.Errorf("tail %q", got)
	}
	if !strings.Contains(log.String(), `level=ERROR msg="[build 1/2] failed"`) {
		t.Errorf("log %s", &log)
	}
}

func TestTransfer_plain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		p := New(Options{Log: logTo(&log), Output: io.Discard})
		_, moved, end := p.Transfer(t.Context(), engine.Transfer{Kind: "pull", Name: "sha256:" + strings.Repeat("0123456789abcdef", 4), Size: 48_500_000})
		moved(1000)
		time.Sleep(stillMoving)
		moved(1_500_000)
		moved(1)
		time.Sleep(time.Second)
		moved(1)
		end(nil)
		_, _, end = p.Transfer(t.Context(), engine.Transfer{Kind: "push", Name: "r/x", Size: -1})
		end(errors.New("no"))
		want := `level=DEBUG msg="pull sha256:0123456789ab" size="48.5 MB"
level=INFO msg="pull sha256:0123456789ab" moved="1.5 MB" size="48.5 MB"
level=INFO msg="pull sha256:0123456789ab done" moved="1.5 MB" took=16s
level=DEBUG msg="push r/x"
level=ERROR msg="push r/x failed" moved="0 B" took=0s
`
		if log.String() != want {
			t.Errorf("log:\n%s\nwant:\n%s", &log, want)
		}
	})
}

func TestLive(t *testing.T) {
	var screen buffer
	p := New(Options{Screen: &screen})
	p.log = logTo(p.Writer())
	_, w, endStep := p.Step(t.Context(), build, makeStep)
	_, moved, endTransfer := p.Transfer(t.Context(), engine.Transfer{Kind: "pull", Name: "debian:12", Size: 2_000_000})
	moved(1_000_000)
	fmt.Fprint(w, "\x1b[2J\x1b[1;32mok\x1b[0m \x1b]0;title\x07go\x07\n")
	drawn := func(want string) {
		t.Helper()
		for range 100 {
			if strings.Contains(screen.String(), want) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("%q is not drawn in %q", want, screen.String())
	}
	drawn("[build 1/2] RUN make")
	drawn("1.0 MB / 2.0 MB")
	drawn("[build 1/2] \x1b[1;32mok\x1b[0m go\x1b[0m\n")
	endTransfer(nil)
	endStep(engine.Outcome{}, nil)
	p.Close()
	p.Close()
	drawn("[build 1/2] done")

	// After the end: no bars, no panic, and the text still gets out.
	before := len(screen.String())
	_, w, endStep = p.Step(t.Context(), build, checkStep)
	fmt.Fprintln(w, "late")
	endStep(engine.Outcome{}, nil)
	if after := screen.String()[before:]; !strings.Contains(after, "[build 2/2] late\n") {
		t.Errorf("after the end: %q", after)
	}
}

func TestLines_longLine(t *testing.T) {
	var got []string
	l := &lines{write: func(line string) { got = append(got, line) }}
	data := bytes.Repeat([]byte("x"), 2*maxLine+5)
	if n, err := l.Write(data); n != len(data) || err != nil {
		t.Fatal(n, err)
	}
	l.flush()
	l.flush()
	var sizes []int
	for _, line := range got {
		sizes = append(sizes, len(line)-1)
	}
	if want := []int{maxLine, maxLine, 5}; !slices.Equal(sizes, want) {
		t.Errorf("lines of %d bytes, want %d", sizes, want)
	}
}

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext ü":         "plain\ttext ü",
		"a\x1b[31mb":            "a\x1b[31mb\x1b[0m",
		"a\x1b[2Kb\x1b[10;10Hc": "abc\x1b[0m",
		"a\x1b]8;;x\x1b\\b":     "ab",
		"a\x1bcb":               "ab",
		"a\x1b[12":              "a\x1b[0m",
		"a\x1b":                 "a",
		"a\x1b]no end":          "a",
		"\x00a\x08\x7f":         "a",
	} {
		if got := harmless(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestHumanBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 10_000_000_000: "10.0 GB", 1 << 62: "4.6 EB",
	} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
