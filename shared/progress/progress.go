// Package progress shows people how a build goes: a line of the log when a step
// begins and ends and when bytes have been moved, what commands write, and on a
// terminal bars for what is under way. It keeps the last lines of a command that
// failed, for the error page. It decides nothing and slows nothing down.
package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

const (
	// stillMoving is how often a transfer says how far it is when there is no bar.
	stillMoving = 15 * time.Second
	// unsaid is how many bytes may move without a word: a cache moves many small blobs.
	unsaid    = 64 << 10
	tailLines = 20 // kept of each command's output
)

// Options is where to show what.
type Options struct {
	Log    *slog.Logger
	Output io.Writer // for what commands write, if there is no Screen
	// Screen is a terminal to draw on, or nil. Then Output is not used, and the log
	// must not write to the terminal but to [Progress.Writer].
	Screen io.Writer
}

// Progress is an [engine.Observer].
type Progress struct {
	log    *slog.Logger
	output io.Writer
	bars   *bars // nil without a terminal

	mu     sync.Mutex // for output and failed
	failed []string   // the last lines of the first command that failed
}

// New makes a Progress; it must be closed.
func New(o Options) *Progress {
	p := &Progress{log: o.Log, output: o.Output}
	if o.Screen != nil {
		p.bars = newBars(o.Screen)
		p.output = p.bars
	}
	return p
}

// Writer is where lines go that stand above the bars.
func (p *Progress) Writer() io.Writer { return p.output }

// Close takes the bars off the screen. What is written later goes to the screen as
// it is.
func (p *Progress) Close() {
	if p.bars != nil {
		p.bars.close()
	}
}

// Tail is the last lines which the first failing command wrote; nil if none failed.
func (p *Progress) Tail() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// Stage says nothing: a stage is seen through its steps.
func (p *Progress) Stage(ctx context.Context, _ *plan.Stage) (context.Context, func(error)) {
	return ctx, func(error) {}
}

// Step shows a step and takes its command's output.
func (p *Progress) Step(ctx context.Context, st *plan.Stage, s *plan.Step) (context.Context, io.Writer, func(engine.Outcome, error)) {
	label := stepLabel(st, s)
	p.log.Info(label + " " + s.Text)
	remove := p.bars.step(label + " " + s.Text)
	begin := time.Now()
	out := &lines{
		write: func(line string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			io.WriteString(p.output, line) //nolint:errcheck // showing is best effort
		},
		prefix: label + " ",
		plain:  p.bars != nil,
	}
	return ctx, out, func(outcome engine.Outcome, err error) {
		out.flush()
		remove()
		took := slog.Duration("took", time.Since(begin).Round(time.Millisecond))
		switch {
		case err == nil && outcome.Cached:
			p.log.Info(label + " cached")
		case err == nil && outcome.Files > 0:
			p.log.Info(label+" done", took, slog.Int("changes", outcome.Files))
		case err == nil:
			// What only changes the config has nothing to tell of itself.
			if _, ok := s.Op.(plan.Meta); !ok {
				p.log.Info(label+" done, nothing changed", took)
			}
		case errors.Is(err, context.Canceled):
			p.log.Info(label+" stopped", took)
		default:
			p.log.Error(label+" failed", took)
			p.mu.Lock()
			if p.failed == nil {
				p.failed = out.last()
			}
			p.mu.Unlock()
		}
	}
}

// stepLabel tells stages apart whose steps run at the same time.
func stepLabel(st *plan.Stage, s *plan.Step) string {
	name := st.Name
	if name == "" {
		name = fmt.Sprintf("stage %d", st.Index)
	}
	for i, other := range st.Steps {
		if other == s {
			return fmt.Sprintf("[%s %d/%d]", name, i+1, len(st.Steps))
		}
	}
	return "[" + name + "]"
}

// Phase says nothing.
func (p *Progress) Phase(ctx context.Context, _ engine.Phase) (context.Context, func(error)) {
	return ctx, func(error) {}
}

// Transfer shows bytes on their way.
func (p *Progress) Transfer(ctx context.Context, t engine.Transfer) (context.Context, func(int64), func(error)) {
	label := t.Kind + " " + short(t.Name)
	p.log.Debug(label, size("size", t.Size))
	add, remove := p.bars.transfer(label, t.Size)
	begin := time.Now()
	var total, said atomic.Int64 // bytes; and when they were last told, since begin
	moved := func(n int64) {
		now := total.Add(n)
		add(n)
		if p.bars != nil {
			return
		}
		last, elapsed := said.Load(), int64(time.Since(begin))
		if elapsed-last >= int64(stillMoving) && said.CompareAndSwap(last, elapsed) {
			p.log.Info(label, size("moved", now), size("size", t.Size))
		}
	}
	return ctx, moved, func(err error) {
		remove()
		took := time.Since(begin).Round(time.Millisecond)
		attrs := []any{size("moved", total.Load()), slog.Duration("took", took)}
		switch {
		case err == nil && total.Load() < unsaid && took < time.Second:
			p.log.Debug(label+" done", attrs...)
		case err == nil:
			p.log.Info(label+" done", attrs...)
		case errors.Is(err, context.Canceled):
			p.log.Info(label+" stopped", attrs...)
		default:
			p.log.Error(label+" failed", attrs...)
		}
	}
}

// short cuts a digest to what people compare.
func short(name string) string {
	before, hex, found := strings.Cut(name, "sha256:")
	if found && len(hex) == 64 {
		return before + "sha256:" + hex[:12]
	}
	return name
}

// size is an attribute for a number of bytes; none if that is not known.
func size(key string, n int64) slog.Attr {
	if n < 0 {
		return slog.Attr{}
	}
	return slog.String(key, humanBytes(n))
}

func humanBytes(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.95 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, units[unit])
}
