package timeline

import (
	"time"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

// clocks add up time by kind while it passes, so that totals need no records.
type clocks struct {
	by   map[engine.Phase]*clock
	busy clock // something but waiting goes on
}

// clock measures what is of one kind.
type clock struct {
	Total
	active int
	seen   time.Duration // until when it has counted
}

func newClocks() clocks {
	c := clocks{by: map[engine.Phase]*clock{}}
	for _, k := range kinds() {
		c.by[k] = &clock{Total: Total{Kind: k}}
	}
	return c
}

func (c *clocks) of(kind engine.Phase) *clock {
	if k, ok := c.by[kind]; ok && kind != Compress {
		return k
	}
	return c.by[Other]
}

// change notes that n more pieces of work of a kind go on, or less. It is called at times
// that do not go back.
func (c *clocks) change(kind engine.Phase, n int, now time.Duration) {
	c.of(kind).change(n, now)
	if kind != engine.Wait {
		c.busy.change(n, now)
	}
}

// past counts what went on alone from the beginning until now.
func (c *clocks) past(kind engine.Phase, now time.Duration) {
	for _, k := range []*clock{c.of(kind), &c.busy} {
		k.Time += now
		k.Wall += now
	}
	c.of(kind).Count++
}

// compress notes what the compressor held up of other phases.
func (c *clocks) compress(held time.Duration, bytes int64) {
	k := c.by[Compress]
	k.Count++
	k.Time += held
	k.Bytes += bytes
}

func (k *clock) change(n int, now time.Duration) {
	k.Total = k.at(now)
	k.active, k.seen = k.active+n, now
}

// at is the total at a time; what goes on counts until then.
func (k *clock) at(now time.Duration) Total {
	t := k.Total
	if k.active > 0 {
		t.Wall += now - k.seen
		t.Time += time.Duration(k.active) * (now - k.seen)
	}
	return t
}

// totals are those of all kinds. Other is the time in which nothing was measured, and
// what was measured of unknown kinds.
func (c *clocks) totals(now time.Duration) []Total {
	var all []Total
	for _, kind := range kinds() {
		t := c.by[kind].at(now)
		if kind == Other {
			idle := max(0, now-c.busy.at(now).Wall)
			t.Time, t.Wall = t.Time+idle, t.Wall+idle
		}
		all = append(all, t)
	}
	return all
}
