package page

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/kaniko-suite/kaniko/shared/timeline"
)

// plot is the axis of time that all bars are drawn on.
type plot struct{ whole time.Duration }

// bar is a piece of work on it; numbers are percent.
type bar struct {
	Class       string
	Left, Width float64
	Title       string
}

func (p plot) bar(class string, s timeline.Span, title string) bar {
	left := p.at(s.Begin)
	return bar{Class: class, Left: left, Width: max(0, round(p.at(s.End)-left)), Title: title}
}

// at is where a time is, in percent.
func (p plot) at(t time.Duration) float64 {
	if p.whole <= 0 {
		return 0
	}
	return round(100 * min(1, max(0, t.Seconds()/p.whole.Seconds())))
}

// round keeps what can be seen: thousandths.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }

// axis has a mark every Step percent.
type axis struct {
	Step  float64
	Ticks []tick
}

type tick struct {
	At    float64
	Label string
	Last  bool // so near to the end that its label must stand before it
}

// mostTicks is how many labels have room on a phone, less the one at 0.
const mostTicks = 5

// axis finds steps of 1, 2 or 5 of a unit that people count in.
func (p plot) axis() axis {
	if p.whole <= 0 {
		return axis{Step: 100}
	}
	step := time.Millisecond
	for i := 0; p.whole/step > mostTicks; i++ {
		step = steps(i)
	}
	a := axis{Step: p.at(step)}
	for at := time.Duration(0); at <= p.whole; at += step {
		a.Ticks = append(a.Ticks, tick{At: p.at(at), Label: label(at, step), Last: p.at(at) > 93})
	}
	return a
}

// steps are distances between marks, each larger than the one before.
func steps(i int) time.Duration {
	small := []time.Duration{1, 2, 5, 10, 20, 50, 100, 200, 500}
	if i < len(small) {
		return small[i] * time.Millisecond
	}
	i -= len(small)
	large := []time.Duration{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400}
	if i < len(large) {
		return large[i] * time.Second
	}
	return large[len(large)-1] * time.Second << (i - len(large) + 1)
}

func label(at, step time.Duration) string {
	switch {
	case at == 0:
		return "0"
	case step < time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.3f", at.Seconds()), "00") + "s"
	case at < time.Minute:
		return fmt.Sprintf("%ds", int(at.Seconds()))
	}
	return strings.TrimSuffix(timeline.Seconds(at), "00s")
}
