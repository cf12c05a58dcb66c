package timeline

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

// sample is a build of ten seconds.
func sample(t *testing.T) *Timeline {
	got := recorded(t, func(r *Recorder) {
		ctx, endStage := r.Stage(t.Context(), build)
		stepCtx, _, end := r.Step(ctx, build, fetch)
		end(engine.Outcome{Cached: true}, nil)
		stepCtx, _, end = r.Step(ctx, build, compile)
		unpacking, endUnpack := r.Phase(stepCtx, engine.Unpack)
		for range 2 {
			_, moved, done := r.Transfer(unpacking, engine.Transfer{Kind: "pull"})
			moved(1_250_000)
			wait(1)
			done(nil)
		}
		endUnpack(nil)
		spend(stepCtx, r, engine.Run, 5)
		spend(stepCtx, r, engine.Capture, 2)
		end(engine.Outcome{Layer: someLayer(t), Compress: time.Second, Missed: []string{"the command changed:\x1b[31m"}}, nil)
		endStage(nil)
		wait(1)
	})
	got.Memory = Memory{Peak: 42_000_000}
	for i := range got.Totals {
		if got.Totals[i].Kind == Compress {
			got.Totals[i].Bytes = 1234 // of a layer of chance
		}
	}
	return got
}

func TestWriteTable(t *testing.T) {
	var b strings.Builder
	if err := sample(t).WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	want := `where the time went, of 10.0s; steps from the cache: 1 of 2; memory: 42.0 MB at most
               time   wall  of all  times   bytes
        pull  2.00s  2.00s     20%      2  2.5 MB
      unpack  2.00s  2.00s     20%      1
         run  5.00s  5.00s     50%      1
     capture  2.00s  2.00s     20%      1
  (compress)  1.00s                     1  1.2 kB
       other  1.00s  1.00s     10%
time counts twice what went on twice at once, wall does not; (compress) is a part of copy and capture
the steps that took longest, without waiting for others:
   9.00s  [build 2/2] RUN make (unpack 2.00s, run 5.00s, capture 1.00s, compress 1.00s)
          not cached: the command changed: [31m
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAttrs(t *testing.T) {
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}})).LogAttrs(t.Context(), slog.LevelInfo, "timing", sample(t).Attrs()...)
	want := `{"level":"INFO","msg":"timing","took":10,"peak_memory":42000000,"steps":2,"cached":1,` +
		`"pull":{"time":2,"count":2,"wall":2,"bytes":2500000},"unpack":{"time":2,"count":1,"wall":2},` +
		`"run":{"time":5,"count":1,"wall":5},"capture":{"time":2,"count":1,"wall":2},` +
		`"compress":{"time":1,"count":1,"bytes":1234},"other":{"time":1,"count":0,"wall":1},` +
		`"slowest":[{"stage":"build","step":2,"text":"RUN make","took":9,"state":"done","missed":["the command changed:\u001b[31m"],` +
		`"parts":{"capture":1,"compress":1,"run":5,"unpack":2}}]}` + "\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ms", 400 * time.Microsecond: "0ms", 12 * time.Millisecond: "12ms", 999400 * time.Microsecond: "999ms",
		999600 * time.Microsecond: "1.00s", 9994 * time.Millisecond: "9.99s", 9996 * time.Millisecond: "10.0s",
		59900 * time.Millisecond: "59.9s", 59960 * time.Millisecond: "1m00s", 187 * time.Second: "3m07s",
		62 * time.Minute: "1h02m", -time.Second: "-1.00s",
	} {
		if got := Seconds(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
