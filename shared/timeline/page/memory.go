package page

import (
	"fmt"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/timeline"
)

// chart is memory over time, in a box of 1000 by 100 whose origin is at the top.
type chart struct {
	Text           string
	Most           string // what the top of the box is
	Process, Group string // points of lines; Group may be empty
}

// memory is nil if there is nothing to draw.
func (b *builder) memory() *chart {
	m := b.t.Memory
	if len(m.Samples) == 0 {
		return nil
	}
	var top int64 = 1
	for _, s := range m.Samples {
		top = max(top, s.Process, s.Group)
	}
	c := &chart{
		Most:    timeline.Bytes(top),
		Text:    fmt.Sprintf("The executor’s own process had at most %s of memory.", timeline.Bytes(m.Peak)),
		Process: b.line(m.Samples, top, func(s timeline.Sample) int64 { return s.Process }),
	}
	if m.Group > 0 {
		c.Text += fmt.Sprintf(" Its control group, which counts commands and cached files too, had %s.", timeline.Bytes(m.Group))
		c.Group = b.line(m.Samples, top, func(s timeline.Sample) int64 { return s.Group })
	}
	return c
}

// line goes from one end of the box to the other.
func (b *builder) line(samples []timeline.Sample, top int64, of func(timeline.Sample) int64) string {
	point := func(x float64, s timeline.Sample) string {
		return fmt.Sprintf("%.1f,%.1f", x, 100-95*float64(of(s))/float64(top))
	}
	points := []string{point(0, samples[0])}
	for _, s := range samples {
		points = append(points, point(10*b.plot.at(s.At), s))
	}
	return strings.Join(append(points, point(1000, samples[len(samples)-1])), " ")
}
