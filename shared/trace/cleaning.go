package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Cleaning is what cachegc found in a cache, and what became of it.
type Cleaning struct {
	Cache string // its name, without credentials
	// Decided are how many entries there are of each decision and rule.
	Decided map[Decided]int
	// Deletions are how many ended in each way; nil if nothing was to be deleted yet.
	Deletions map[string]int
	// Bytes are those of all blobs, each counted once; Freed those no more needed.
	Bytes, Freed int64
	// Oldest is the age of the oldest entry that stays, 0 if there is none.
	Oldest time.Duration
}

// Decided is what a rule wants.
type Decided struct{ Decision, Rule string }

// cleaning are the instruments for that.
type cleaning struct {
	entries   metric.Int64Gauge
	deletions metric.Int64Counter
	bytes     metric.Int64Gauge
	freed     metric.Int64Counter
	oldest    metric.Float64Gauge
	waited    metric.Float64Gauge
	success   metric.Float64Gauge
}

func newCleaning(meter metric.Meter) cleaning {
	var c cleaning
	// The errors are of names that are no names; a test makes them all.
	c.entries, _ = meter.Int64Gauge("kaniko.cachegc.entries", metric.WithUnit("{entry}"),
		metric.WithDescription("Entries and journals of a cache, by what was decided and why."))
	c.deletions, _ = meter.Int64Counter("kaniko.cachegc.deletions", metric.WithUnit("{entry}"),
		metric.WithDescription("What became of what was to be deleted."))
	c.bytes, _ = meter.Int64Gauge("kaniko.cachegc.size", metric.WithUnit("By"),
		metric.WithDescription("Bytes of a cache before it was cleaned, each blob counted once."))
	c.freed, _ = meter.Int64Counter("kaniko.cachegc.freed", metric.WithUnit("By"),
		metric.WithDescription("Bytes that nothing needs any more."))
	c.oldest, _ = meter.Float64Gauge("kaniko.cachegc.oldest", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest entry that stays."))
	c.waited, _ = meter.Float64Gauge("kaniko.cachegc.waited", metric.WithUnit("s"),
		metric.WithDescription("How long requests were held back, all added up."))
	c.success, _ = meter.Float64Gauge("kaniko.cachegc.success", metric.WithUnit("s"),
		metric.WithDescription("When all was done without an error, in seconds since 1970."))
	return c
}

// Cleaned tells of a cache.
func (p *Provider) Cleaned(ctx context.Context, c Cleaning) {
	if p.metrics == nil {
		return
	}
	m := &p.metrics.cleaning
	at := attribute.String("kaniko.cache", c.Cache)
	for d, n := range c.Decided {
		m.entries.Record(ctx, int64(n), metric.WithAttributes(at, attribute.String("kaniko.decision", d.Decision), attribute.String("kaniko.rule", d.Rule)))
	}
	for status, n := range c.Deletions {
		m.deletions.Add(ctx, int64(n), metric.WithAttributes(at, attribute.String("kaniko.status", status)))
	}
	m.bytes.Record(ctx, c.Bytes, metric.WithAttributes(at))
	if c.Deletions != nil {
		m.freed.Add(ctx, c.Freed, metric.WithAttributes(at))
	}
	if c.Oldest > 0 {
		m.oldest.Record(ctx, c.Oldest.Seconds(), metric.WithAttributes(at))
	}
}

// CleanedAll tells how the whole went: how long requests were held back, and when it was
// done, if it was.
func (p *Provider) CleanedAll(ctx context.Context, waited time.Duration, done time.Time, err error) {
	if p.metrics == nil {
		return
	}
	p.metrics.cleaning.waited.Record(ctx, waited.Seconds())
	if err == nil {
		p.metrics.cleaning.success.Record(ctx, float64(done.Unix()))
	}
}
