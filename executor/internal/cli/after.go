package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/timeline"
	"github.com/kaniko-suite/kaniko/shared/timeline/page"
)

// afterFlags say what is told of a build once it is over.
type afterFlags struct {
	timing bool
	report string
}

func (f *afterFlags) bind(fs *pflag.FlagSet) {
	fs.BoolVar(&f.timing, "timing", false, "at the end, print where the time went")
	fs.StringVar(&f.report, "report", "", "`file` to write a page of HTML to that shows where the time went, what was cached, and what failed")
}

// record begins to remember what the build does, if that is to be told.
func (b *builder) record() error {
	if b.flags.after.report != "" {
		if err := checkReport(&b.flags.after.report); err != nil {
			return err
		}
	}
	if b.flags.after.timing || b.flags.after.report != "" {
		b.recorder = timeline.New(b.past.Started)
	}
	return nil
}

// checkReport makes the path one that a change of directories does not concern, and
// finds before the build that nothing can be written there.
func checkReport(path *string) error {
	abs, err := filepath.Abs(*path)
	if err != nil {
		return &reportError{*path, err}
	}
	*path = abs
	if fi, err := os.Stat(abs); err == nil && fi.IsDir() {
		return &reportError{abs, errors.New("it is a directory")}
	}
	fi, err := os.Stat(filepath.Dir(abs))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return &reportError{abs, errors.New("there is no such directory")}
	case err != nil:
		return &reportError{abs, err}
	case !fi.IsDir():
		return &reportError{abs, fmt.Errorf("%s is not a directory", filepath.Dir(abs))}
	}
	return nil
}

// reportError is a --report that could not be written in the end.
type reportError struct {
	path string
	err  error
}

func (e *reportError) Error() string { return fmt.Sprintf("write report %s: %v", e.path, e.err) }
func (e *reportError) Unwrap() error { return e.err }

// ExitCode is that of an output which cannot be written.
func (*reportError) ExitCode() int { return int(command.CannotCreate) }

// Hint says what to do instead.
func (*reportError) Hint() string {
	return "name a file in a directory that is there, with --report"
}

// recording is the recorder as an observer of what is now to begin.
func (b *builder) recording() engine.Observer {
	if b.recorder == nil {
		return nil
	}
	b.recorder.Past(timeline.Prepare)
	return b.recorder
}

// spent begins to count time as that of a kind of the recorder's own.
func (b *builder) spent(ctx context.Context, kind engine.Phase) func(error) {
	if b.recorder == nil {
		return func(error) {}
	}
	_, end := b.recorder.Phase(ctx, kind)
	return end
}

// made notes an image for the report.
func (b *builder) made(v variant, img v1.Image) {
	if b.flags.after.report == "" {
		return
	}
	made, err := page.ImageOf(img, v.plan)
	if err != nil {
		b.env.Log.Warn("the report does not show the image: " + err.Error())
		return
	}
	made.Platform = v.name()
	b.results = append(b.results, made)
}

// tell tells of the build, which ended with an error or nil, once nothing of it goes
// on. A build that was taken over by a process in namespaces is that one's to tell of.
func (b *builder) tell(failed error) error {
	if b.recorder == nil {
		return nil
	}
	if b.progress == nil { // it ended before it was observed
		b.recorder.Past(timeline.Prepare)
	}
	b.recorder.Close()
	t := b.recorder.Timeline()
	if b.flags.after.timing {
		t.Print(b.env.Stderr, b.env.Log, b.env.LogsJSON())
	}
	if b.flags.after.report == "" {
		return nil
	}
	return exporter.WriteFile("report", b.flags.after.report, func(w io.Writer) error {
		return page.Write(w, b.report(t, failed))
	})
}

// report is what the page shows.
func (b *builder) report(t *timeline.Timeline, failed error) page.Report {
	r := page.Report{
		Program: "kaniko executor " + command.Release, Names: b.flags.out.destinations, Images: b.results, Plans: b.plans,
		Cache: b.flags.cache.on, Timeline: t,
	}
	if b.digest != (v1.Hash{}) {
		r.Digest = b.digest.String()
	}
	if failed != nil {
		r.Failure = &page.Failure{Error: failed.Error(), Excerpt: b.env.Page.Excerpt(failed)}
		var hinter interface{ Hint() string }
		if errors.As(failed, &hinter) {
			r.Failure.Hint = hinter.Hint()
		}
		if b.progress != nil {
			r.Failure.Output = b.progress.Tail()
		}
	}
	return r
}
