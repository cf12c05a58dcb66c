package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// steps does the stage's steps, each leaving a layer or none.
func (s *stage) steps(ctx context.Context) error {
	for i, w := range s.works {
		out, err := s.step(ctx, i, w, s.exported)
		if err != nil {
			return err
		}
		s.add(out)
		if err := s.remember(w, out.Layer); err != nil {
			return err
		}
	}
	return nil
}

// add appends what a step left to the stage's image.
func (s *stage) add(r result) {
	s.history = append(s.history, record{r.step, r.Layer})
	if r.Layer == nil {
		return
	}
	s.layers = append(s.layers, keyed{r.key, r.Layer})
	if s.known != nil {
		s.known.add(r.Layer, r.shown)
	} else if r.shown {
		s.applied = len(s.layers)
	}
}

// result is what a step came to, and the sandbox's key for its layer.
type result struct {
	Outcome
	step  *plan.Step
	key   string
	shown bool // the stage's files are with the layer already
}

func (s *stage) step(ctx context.Context, i int, w *work, export bool) (r result, err error) {
	if err := ctx.Err(); err != nil {
		return r, context.Cause(ctx)
	}
	ctx, out, end := s.build.Observer.Step(ctx, s.plan, w.Step)
	defer func() {
		if !r.Cached {
			r.Missed, r.Cause = w.missed, s.build.whyMissed(w)
		}
		end(r.Outcome, err)
	}()
	if w.entry != nil {
		return s.reuse(ctx, w, export)
	}
	w.tellMissed(out)
	c := &capture{
		stage: s, key: fmt.Sprintf("step:%d/%d", s.plan.Index, i), export: export, index: s.build.keepsStep(w),
	}
	if err = s.do(ctx, c, w, out); err != nil {
		return r, s.explain(ctx, w.Step, err)
	}
	if w.entry != nil {
		return s.reuse(ctx, w, export)
	}
	r = result{step: w.Step, key: c.key, shown: c.shown}
	r.Files, r.Compress = c.files, c.compress
	if c.blob != nil {
		r.Layer = v1.Layer(c.blob)
	}
	s.offer(w, c)
	return r, nil
}

// do does a step, unless it turns out that the cache has what it would come to.
func (s *stage) do(ctx context.Context, c *capture, w *work, out io.Writer) error {
	switch op := w.Op.(type) {
	case plan.Dir:
		if s.pass(w, w.readings); s.find(ctx, w) {
			return nil
		}
		return s.dir(ctx, c, op)
	case plan.Copy:
		return s.copy(ctx, c, w, op, out)
	case plan.Run:
		readings := w.readings
		s.pass(w, readings)
		if !s.build.readsAnew(op) && s.find(ctx, w) {
			return nil
		}
		s.fresh = true
		if err := s.catchUp(ctx); err != nil {
			return err
		}
		if err := s.command(ctx, op, out); err != nil {
			return err
		}
		s.build.checkUnchanged(readings, op)
		return c.commit(ctx)
	}
	return nil
}

// explain says which step failed, unless the build was ended from outside.
func (s *stage) explain(ctx context.Context, step *plan.Step, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &StepError{Stage: s.plan, Step: step, Err: err}
}

func (s *stage) dir(ctx context.Context, c *capture, op plan.Dir) error {
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	owner, err := placement.ParseOwner(s.files(), op.User)
	if err != nil {
		return err
	}
	return c.place(ctx, placement.MakeDir(placement.Request{
		Dest: tree.Clean(op.Path), Owner: &owner, Time: s.build.Created,
	}, s.files()))
}

// copy copies. Patterns that match nothing are told of on output.
func (s *stage) copy(ctx context.Context, c *capture, w *work, op plan.Copy, output io.Writer) error {
	r := placement.Request{
		Dest: tree.Clean(op.Dest), DestDir: op.DestDir, Mode: op.Chmod, Unpack: op.Unpack,
		Parents: op.Parents, Exclude: op.Exclude, Link: op.Link, Time: s.build.Created,
		Unmatched: func(pattern string) {
			if output != nil {
				fmt.Fprintf(output, "warning: nothing matches %s\n", pattern)
			}
		},
	}
	b := &baggage{stage: s, request: r}
	defer b.release()
	if err := b.collect(ctx, op); err != nil {
		return err
	}
	readings := w.readings
	if s.passCopy(ctx, w, op, b); s.find(ctx, w) {
		return nil
	}
	if s.box != nil || !op.Link {
		if err := s.catchUp(ctx); err != nil {
			return err
		}
	}
	if err := b.setOwner(op); err != nil {
		return err
	}
	if err := c.place(ctx, placement.PlaceAll(b.requests, s.files())); err != nil {
		return err
	}
	s.build.checkUnchanged(readings, op)
	return nil
}

// command runs a command. What it mounts is gone when it returns.
func (s *stage) command(ctx context.Context, op plan.Run, output io.Writer) error {
	o, err := s.outfit(ctx, op)
	if err != nil {
		return errors.Join(err, o.close())
	}
	out := redact(output, s.build.secrets)
	p := sandbox.Process{
		Args: op.Args, Env: append(slices.Clip(op.Env), o.env...), Dir: tree.Clean(op.Dir), User: op.User,
		Files: op.Files, Mounts: o.mounts, Offline: op.Offline, Output: out,
	}
	err = s.build.turns.aside(ctx, func() error { return s.process(ctx, p) })
	return errors.Join(err, out.Flush(), o.close())
}

// process runs a command when it is its turn.
func (s *stage) process(ctx context.Context, p sandbox.Process) error {
	waiting := func() func(error) {
		_, end := s.build.Observer.Phase(ctx, Wait)
		return end
	}
	return s.build.turns.command(ctx, waiting, func() error {
		ctx, end := s.build.Observer.Phase(ctx, Run)
		err := s.box.Run(ctx, p)
		end(err)
		return err
	})
}

// open is the file system that a step takes files from by these patterns.
func (s *stage) open(ctx context.Context, from *plan.Source, what placement.Request) (tree.FS, func(), error) {
	switch {
	case from == nil:
		return s.build.Context, func() {}, nil
	case from.Context != "":
		return s.build.Contexts[from.Context], func() {}, nil
	case from.Stage != nil:
		up := s.build.stages[from.Stage]
		if err := s.await(ctx, up); err != nil {
			return nil, nil, err
		}
		return up.source(ctx, what)
	}
	files, err := s.build.images.files(ctx, from.Image)
	if err != nil {
		return nil, nil, err
	}
	return files.source(ctx, what, s.build.Spool)
}

// clamp is the time that no layer's times may exceed, or the zero time.
func (b *build) clamp() time.Time {
	if !b.Clamp {
		return time.Time{}
	}
	return b.Created
}
