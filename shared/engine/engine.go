// Package engine builds a plan: it pulls what is needed, runs the steps, encodes
// their changes into layers that upload while the build goes on, and assembles
// the image. It imports no registry client, no driver and no tracer: those come
// in through [Config].
package engine

import (
	"context"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/image"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Config is everything a build depends on.
type Config struct {
	Plan     *plan.Plan
	Context  tree.FS            // the build context, what is ignored already left out
	Contexts map[string]tree.FS // the named ones, by the name that the plan has
	Host     Host               // may be nil if no command mounts anything of the host's
	Remotes  Remotes            // may be nil if nothing is fetched
	Bases    Bases
	// Sandboxes opens the driver, when it turns out that a command is to be run; the
	// caller closes it. It may be nil if no step of the plan is a Run.
	Sandboxes func(context.Context) (sandbox.Driver, error)
	Exporter  Exporter
	Cache     *Caching // nil for none
	Spool     string   // directory for layers under way; the caller removes it
	Limits    Limits
	Observer  Observer // may be nil

	// Created is the time the image and its history state. Layers' times are
	// brought down to it when Clamp is set (SOURCE_DATE_EPOCH, --reproducible).
	Created time.Time
	Clamp   bool
	// Runs finds out whether commands for a platform can be run here; nil leaves it to
	// the command to show.
	Runs func(context.Context, v1.Platform) error
	// Squash makes one layer of all of a stage's steps (--single-snapshot).
	Squash bool
	// Compression is that of layers which the build makes; those of bases, and of the
	// cache, are as they are.
	Compression layer.Compression
	// Ignored are paths at and below which what commands change is not in the image.
	Ignored []tree.Path
	// Form is what the image's manifest is to be like.
	Form image.Form
}

// Limits bounds what goes on at once; a zero field means a default.
type Limits struct {
	Stages int // stages that work at the same time; default: as many as there are CPUs, or as the container may use
	// Commands are those that run at the same time; default: as many as Stages. A stage
	// does not count as at work while its command runs.
	Commands int
	Pushes   int // layers on their way to where the image goes; default 16
}

// Bases gives the base images that the plan names.
type Bases interface {
	// Image opens an image by the digest that the plan resolved. Opening a layer
	// may fetch it: base.Dir does so once for all readers, a registry each time. A
	// layer is proven only when io.EOF was read of it. ctx governs the layers too.
	Image(ctx context.Context, img *plan.Image) (v1.Image, error)
}

// Exporter takes what the build makes: layers early, the manifest last.
type Exporter interface {
	// Layer is called for each layer of the target as soon as it exists, while it
	// may still be being written: its Digest may answer [layer.ErrUnfinished].
	// Several calls run at once. An exporter with no use for early layers returns nil.
	Layer(ctx context.Context, l v1.Layer) error
	// Image is called once, after every Layer has returned.
	Image(ctx context.Context, img v1.Image) error
}

// Observer is the only window outward. Every method may return its arguments
// and do nothing; calls for different stages come from different goroutines.
type Observer interface {
	Stage(ctx context.Context, s *plan.Stage) (context.Context, func(error))
	// Step returns where the output of the step's command goes.
	Step(ctx context.Context, st *plan.Stage, s *plan.Step) (context.Context, io.Writer, func(Outcome, error))
	// Phase is a part of the work of a step, of a stage outside of its steps, or of the
	// build outside of its stages, of one kind. Phases of one goroutine may lie within each other.
	Phase(ctx context.Context, kind Phase) (context.Context, func(error))
	// Transfer is bytes on their way: a pull or a push. moved is told increments; size
	// is -1 where it is not known yet.
	Transfer(ctx context.Context, t Transfer) (_ context.Context, moved func(n int64), done func(error))
}

// Phase is what the engine spends time on.
type Phase string

// The phases.
const (
	Ask     Phase = "ask"     // the cache what it has, before anything is done
	Wait    Phase = "wait"    // for another stage, or until a command may run
	Unpack  Phase = "unpack"  // layers to where commands or copies see them; it reads them as they are pulled
	Run     Phase = "run"     // a command
	Copy    Phase = "copy"    // files to their places, and into a layer
	Capture Phase = "capture" // what a command changed, into a layer
	Decode  Phase = "decode"  // in Unpack: one layer is read through, decompressed and written as files
	Encode  Phase = "encode"  // in Copy and Capture: a layer is compressed while its files are read, up to its last byte
	Deliver Phase = "deliver" // the image to where it goes, once all of its layers are made
)

// Transfer names a movement of bytes.
type Transfer struct {
	Kind string // "pull" or "push"
	Name string // a reference or a digest
	Size int64  // in bytes; -1 if unknown
}

// Outcome is what a step came to.
type Outcome struct {
	Layer v1.Layer // nil if the step left no layer, or nobody wants one
	Files int      // changes of files, if the step was done
	// Compress is how long compressing the layer held up the step, as [layer.Encoder.Held]
	// has it: a part of the phases Copy and Capture.
	Compress time.Duration
	Cached   bool   // the step was not done: the cache had what it comes to
	From     string // where the cache had it
	// Missed says in words why the cache did not have it, if it was asked. They may
	// quote the Dockerfile and names of files.
	Missed []string
	// Cause is the same in a few words that quote nothing; empty if the cache was not
	// asked, or had it.
	Cause cachekey.Cause
}
