package trace

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/kaniko-suite/kaniko/shared/disk"
)

// writable finds out whether a file that is written only at the end can be: what is
// not there is made, empty, and what is there stays as it is until then.
func writable(path string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return &FileError{"metrics file", path, err}
	}
	return nil
}

func writeMetrics(path string, all *metricdata.ResourceMetrics) error {
	text := exposition(all)
	return disk.Replace(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// exposition is the text that Prometheus reads (its "Exposition formats"), with
// OpenTelemetry's names made into Prometheus's as the collector does it: words are
// joined by underscores, units are at the end in full, and counters end in _total. Each
// line says which program it is of, so that files of several can lie side by side.
func exposition(all *metricdata.ResourceMetrics) []byte {
	var metrics []metricdata.Metrics
	for _, scope := range all.ScopeMetrics {
		metrics = append(metrics, scope.Metrics...)
	}
	slices.SortFunc(metrics, func(a, b metricdata.Metrics) int { return cmp.Compare(a.Name, b.Name) })
	service := ""
	if all.Resource != nil {
		if v, ok := all.Resource.Set().Value("service.name"); ok {
			service = v.AsString()
		}
	}
	var out bytes.Buffer
	for _, m := range metrics {
		e := exposed{service: service, name: exposedName(m)}
		kind := e.read(m.Data)
		if len(e.lines) == 0 {
			continue
		}
		slices.SortStableFunc(e.lines, func(a, b line) int { return cmp.Compare(a.series, b.series) })
		fmt.Fprintf(&out, "# HELP %s %s\n# TYPE %s %s\n", e.name, m.Description, e.name, kind)
		for _, l := range e.lines {
			out.WriteString(l.text)
		}
	}
	return out.Bytes()
}

// exposedName is a metric's name for Prometheus.
func exposedName(m metricdata.Metrics) string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	switch m.Unit {
	case "s":
		name += "_seconds"
	case "By":
		name += "_bytes"
	}
	if sum, ok := m.Data.(metricdata.Sum[int64]); ok && sum.IsMonotonic {
		name += "_total"
	}
	return name
}

// exposed are the lines of one metric.
type exposed struct {
	service, name string
	lines         []line
}

// line is what is written of one series.
type line struct{ series, text string }

// read takes the data of the kinds that there are here, and names the kind.
func (e *exposed) read(data metricdata.Aggregation) string {
	switch data := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			e.number(p.Attributes, strconv.FormatInt(p.Value, 10))
		}
		return "counter"
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			e.number(p.Attributes, strconv.FormatInt(p.Value, 10))
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			e.number(p.Attributes, float(p.Value))
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			e.histogram(p)
		}
		return "histogram"
	}
	return "gauge"
}

func (e *exposed) number(attrs attribute.Set, value string) {
	labels := e.labels(attrs)
	e.lines = append(e.lines, line{labels, fmt.Sprintf("%s{%s} %s\n", e.name, labels, value)})
}

func (e *exposed) histogram(p metricdata.HistogramDataPoint[float64]) {
	labels := e.labels(p.Attributes)
	var text strings.Builder
	var sum uint64
	for i, n := range p.BucketCounts {
		bound := math.Inf(1)
		if i < len(p.Bounds) {
			bound = p.Bounds[i]
		}
		sum += n
		fmt.Fprintf(&text, "%s_bucket{%s,le=\"%s\"} %d\n", e.name, labels, float(bound), sum)
	}
	fmt.Fprintf(&text, "%s_sum{%s} %s\n%s_count{%s} %d\n", e.name, labels, float(p.Sum), e.name, labels, p.Count)
	e.lines = append(e.lines, line{labels, text.String()})
}

// labels are the attributes in the order of their names, after the program's.
func (e *exposed) labels(attrs attribute.Set) string {
	all := []string{label("service_name", e.service)}
	for _, a := range attrs.ToSlice() {
		all = append(all, label(strings.ReplaceAll(string(a.Key), ".", "_"), a.Value.Emit()))
	}
	return strings.Join(all, ",")
}

func label(name, value string) string {
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value) + `"`
}

// float is a number as Prometheus writes it.
func float(f float64) string {
	if math.IsInf(f, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
