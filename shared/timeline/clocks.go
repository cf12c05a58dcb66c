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
	since  time.Duration // when active left 0
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

// begin and end are called at times that do not go back.
func (c *clocks) begin(kind engine.Phase, now time.Duration) {
	c.of(kind).begin(now)
	if kind != engine.Wait {
		c.busy.begin(now)
	}
}

func (c *clocks) end(kind engine.Phase, began, now time.Duration) {
	k := c.of(kind)
	k.Time += now - began
	k.end(now)
	if kind != engine.Wait {
		c.busy.end(now)
	}
}

// compress notes what the compressor held up of other phases.
func (c *clocks) compress(held time.Duration, bytes int64) {
	k := c.by[Compress]
	k.Count++
	k.Time += held
	k.Bytes += bytes
}

func (k *clock) begin(now time.Duration) {
	if k.active == 0 {
		k.since = now
	}
	k.active++
}

func (k *clock) end(now time.Duration) {
	if k.active--; k.active == 0 {
		k.Wall += now - k.since
	}
}

// at is the total at a time; what goes on counts until then, but in Time.
func (k *clock) at(now time.Duration) Total {
	t := k.Total
	if k.active > 0 {
		t.Wall += now - k.since
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
