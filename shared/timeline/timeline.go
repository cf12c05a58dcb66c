// Package timeline records what an [engine.Observer] is told, so that where the time
// of a build went can be shown once it is over: as a table here, as a page by package
// page. It shows nothing while the build goes on, and decides nothing.
//
// What it keeps is bounded: [MaxRecords] stages, steps, phases and transfers, with
// texts of [MaxText] bytes at most, and [MaxSamples] samples of memory. The totals
// are of everything, whatever was kept.
package timeline

import (
	"time"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

const (
	// MaxRecords is how many stages, steps, phases and transfers are kept together.
	MaxRecords = 8192
	// MaxText is how many bytes are kept of a step's text, of one reason, and of a name.
	MaxText = 1024
	// MaxReasons is how many reasons are kept of why the cache did not have a step.
	MaxReasons = 8
)

// The kinds that an engine has no phase for.
const (
	Pull     = engine.Phase("pull")
	Push     = engine.Phase("push")
	Compress = engine.Phase("compress") // of copy and capture what the compressor held up
	// Prepare and Resolve are what a program does around the engine.
	Prepare = engine.Phase("prepare") // the build context and the Dockerfile are found, namespaces entered
	Resolve = engine.Phase("resolve") // what tags of bases name, and what their configurations say
	Sign    = engine.Phase("sign")    // what was pushed is signed
	Attest  = engine.Phase("attest")  // what is said of it is written, and attached
	Other   = engine.Phase("other")   // none of the others went on
)

// kinds are all, in the order in which they are shown. What is told of another, and lies
// within none of these, is counted with Other.
func kinds() []engine.Phase {
	return []engine.Phase{
		Prepare, Resolve, engine.Ask, Pull, engine.Unpack, engine.Run, engine.Copy, engine.Capture, Compress, Push, engine.Deliver, Sign, Attest,
		engine.Wait, Other,
	}
}

// Timeline is what was recorded.
type Timeline struct {
	Began     time.Time
	Took      time.Duration
	Totals    []Total // one of each kind, in the order of the table
	Stages    []Stage // in the Dockerfile's order
	Phases    []Phase // those outside of stages
	Transfers []Transfer
	Dropped   int // stages, steps, phases and transfers that are in totals only
	Memory    Memory
}

// Span is a part of the time since the build began. What had not ended when the
// timeline was made ends there.
type Span struct{ Begin, End time.Duration }

// Took is how long it is.
func (s Span) Took() time.Duration { return s.End - s.Begin }

// Stage is a stage that was worked on.
type Stage struct {
	Span
	Index    int
	Name     string // empty without
	Platform string // such as linux/arm64
	Several  bool   // there are stages for other platforms too
	Base     string // what FROM names: an image, a stage, or scratch
	Err      string // why it failed; empty if it did not
	Steps    []Step
	Phases   []Phase // those outside of its steps
}

// State is what became of a step.
type State string

// The states.
const (
	Done    State = "done"
	Cached  State = "cached"
	Failed  State = "failed"
	Stopped State = "stopped" // by the failure of something else, or from outside
)

// Step is a step of a stage.
type Step struct {
	Span
	Number int    // from 1
	Of     int    // how many the stage has
	Text   string // on one line, as the user wrote it
	At     string // where in the Dockerfile
	Meta   bool   // it is about the image's configuration only
	State  State
	From   string   // where the cache had it
	Missed []string // why the cache did not have it
	Err    string
	Files  int    // changes of files
	Digest string // of its layer; empty without one
	Size   int64  // of the layer in bytes, compressed
	Phases []Phase
	// Compress is what of its phases the compressor held up.
	Compress time.Duration
}

// Phase is work of one kind. Phases may lie within each other.
type Phase struct {
	Span
	Kind engine.Phase
	Err  bool
}

// Transfer is a pull or a push.
type Transfer struct {
	Span
	Kind  engine.Phase // Pull or Push
	Name  string
	Size  int64 // announced; -1 if that was not known
	Moved int64 // bytes that went over the wire
	Err   string
}

// Total is what all work of one kind came to.
type Total struct {
	Kind engine.Phase
	// Count is how many phases or transfers there were.
	Count int
	// Time is the sum of the time of each, without phases within it of another kind,
	// and Wall the time in which at least one of them went on. Time is longer where
	// several went on at once. Compress has no Wall: its pieces are not kept.
	Time, Wall time.Duration
	Bytes      int64 // moved by transfers; of Compress those of layers, compressed
}

// Steps counts the steps that are about files, and those of them that the cache had.
func (t *Timeline) Steps() (cached, all int) {
	for _, st := range t.Stages {
		for _, s := range st.Steps {
			if s.Meta {
				continue
			}
			all++
			if s.State == Cached {
				cached++
			}
		}
	}
	return cached, all
}

// Total is that of a kind.
func (t *Timeline) Total(kind engine.Phase) Total {
	for _, total := range t.Totals {
		if total.Kind == kind {
			return total
		}
	}
	return Total{Kind: kind}
}
