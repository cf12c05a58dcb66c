package progress

import (
	"errors"
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const barWidth = 24

// bars is what is under way, drawn at the bottom of a terminal. Its methods may be
// called on nil and then do nothing.
type bars struct {
	screen io.Writer
	mpb    *mpb.Progress

	mu     sync.Mutex
	closed bool
}

func newBars(screen io.Writer) *bars {
	// Without WithAutoRefresh mpb draws only on what it takes for a terminal; the
	// caller has looked already.
	return &bars{screen: screen, mpb: mpb.New(mpb.WithOutput(screen), mpb.WithAutoRefresh())}
}

// Write puts whole lines above the bars.
func (b *bars) Write(data []byte) (int, error) {
	n, err := b.mpb.Write(data)
	if errors.Is(err, mpb.ErrDone) {
		return b.screen.Write(data)
	}
	return n, err
}

func (b *bars) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.mpb.Shutdown()
	}
}

// step shows that something without a measure goes on.
func (b *bars) step(label string) (remove func()) {
	if b == nil {
		return func() {}
	}
	bar, err := b.mpb.Add(0, mpb.SpinnerStyle().PositionLeft().Build(),
		mpb.BarRemoveOnComplete(), mpb.BarWidth(2),
		mpb.AppendDecorators(decor.Name(clip(label)), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 6})))
	if err != nil { // closed
		return func() {}
	}
	return func() { bar.Abort(true) }
}

// transfer shows how many bytes have been moved, of a size that may be unknown.
func (b *bars) transfer(label string, size int64) (add func(int64), remove func()) {
	if b == nil {
		return func(int64) {}, func() {}
	}
	total, numbers := size, decor.CountersKiloByte("% .1f / % .1f", decor.WCSyncSpaceR)
	if size <= 0 {
		total, numbers = 0, decor.CurrentKiloByte("% .1f", decor.WCSyncSpaceR)
	}
	bar, err := b.mpb.Add(total, mpb.BarStyle().Build(), mpb.BarRemoveOnComplete(), mpb.BarWidth(barWidth),
		mpb.PrependDecorators(decor.Name(clip(label)+" ")), mpb.AppendDecorators(numbers))
	if err != nil {
		return func(int64) {}, func() {}
	}
	return bar.IncrInt64, func() { bar.Abort(true) }
}

// clip keeps a label on one line beside its bar.
func clip(label string) string {
	const most = 50
	runes := []rune(label)
	if len(runes) <= most {
		return label
	}
	return string(runes[:most-1]) + "…"
}
