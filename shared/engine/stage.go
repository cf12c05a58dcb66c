package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// stage is a stage at work. Its files are in a sandbox if a RUN needs one, else
// they are only known by their layers.
type stage struct {
	build    *build
	plan     *plan.Stage
	works    []*work
	exported bool     // its layers are the target's
	needed   bool     // something has to be done for it, or its layers taken from the cache
	anew     bool     // a command runs in it again, or in what it is made of
	changed  bool     // it is not what it was in the last build
	readers  []*stage // stages that start from it or copy from it, once per use

	// planned names its files as they are known before anything was done, found as
	// they are when what it copies from stages is named by its content. fresh tells
	// that the latter does not say what a command left that ran.
	planned state
	found   state
	fresh   bool
	whole   definition // of all steps as one layer

	// ran is what commands have made so far; cachedPast is what they have made in the end
	// if pastCached tells that the cache has all of it.
	ran        past
	cachedPast past
	pastCached bool

	base    v1.Image // nil for scratch
	layers  []keyed  // all of them, the base's first
	applied int      // how many of them the box has
	history []record

	box   sandbox.Sandbox
	known *layered
	kept  *kept // what is left of box after park

	done chan struct{}
	err  error

	mu      sync.Mutex
	pending int // readers that have not finished
	closed  bool
}

// keyed is a layer with its identity for the sandbox driver.
type keyed struct {
	key string
	v1.Layer
}

// record is what one step leaves in the image's history.
type record struct {
	step  *plan.Step
	layer v1.Layer // nil if the step changed no file
}

func newStage(b *build, p *plan.Stage) *stage {
	s := &stage{build: b, plan: p, done: make(chan struct{})}
	for _, step := range p.Steps {
		s.works = append(s.works, &work{Step: step})
	}
	return s
}

// dependencies are the stages that s starts from or, in what is to be done, copies
// from, once per use.
func (s *stage) dependencies() []*stage {
	if !s.needed {
		return nil
	}
	var deps []*stage
	if s.plan.Base.Stage != nil {
		deps = append(deps, s.build.stages[s.plan.Base.Stage])
	}
	for _, w := range s.todo() {
		for _, r := range plan.Reads(w.Op) {
			if r.From != nil && r.From.Stage != nil {
				deps = append(deps, s.build.stages[r.From.Stage])
			}
		}
	}
	return deps
}

// todo are the steps that the cache does not have.
func (s *stage) todo() []*work {
	var all []*work
	for _, w := range s.works {
		if s.needed && w.entry == nil {
			all = append(all, w)
		}
	}
	return all
}

func (s *stage) ready() bool {
	for _, d := range s.dependencies() {
		select {
		case <-d.done:
		default:
			return false
		}
	}
	return true
}

// needsSandbox reports whether a command runs in the stage.
func (s *stage) needsSandbox() bool {
	for _, w := range s.todo() {
		if _, ok := w.Op.(plan.Run); ok {
			return true
		}
	}
	return false
}

// needsLayers reports whether anybody will want the layers of the stage's steps:
// the image does, a stage that starts from it, and one without a sandbox itself,
// because its files are nowhere else. A stage whose files are only copied from a
// root, as the one that compiles usually is, spares the compression, unless the
// cache wants what it left.
func (s *stage) needsLayers() bool {
	return s.exported || s.box == nil || s.build.keeps() || slices.ContainsFunc(s.readers, func(r *stage) bool { return r.plan.Base.Stage == s.plan })
}

// isRead reports whether a step will read files of the finished stage.
func (s *stage) isRead() bool {
	for _, reader := range s.readers {
		for _, w := range reader.todo() {
			for _, r := range plan.Reads(w.Op) {
				if r.From != nil && r.From.Stage == s.plan {
					return true
				}
			}
		}
	}
	return false
}

// run builds the stage. Its failure is that of the build.
func (s *stage) run(ctx context.Context) {
	if !s.needed {
		close(s.done)
		return
	}
	ctx, end := s.build.Observer.Stage(ctx, s.plan)
	s.err = s.work(ctx)
	if s.err != nil {
		// Before those who wait for this stage can fail because of it.
		s.build.cancel(s.err)
	}
	end(s.err)
	close(s.done)
}

func (s *stage) work(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return &BaseError{Stage: s.plan, Err: err}
	}
	steps := s.steps
	if s.build.Squash && slices.ContainsFunc(s.todo(), func(w *work) bool { return touches(w.Op) }) {
		steps = s.squashed
	}
	if err := steps(ctx); err != nil {
		return err
	}
	if s.box != nil && s.isRead() {
		if err := s.catchUp(ctx); err != nil {
			return &BaseError{Stage: s.plan, Err: err}
		}
	}
	err := s.releaseDependencies()
	if len(s.readers) == 0 {
		err = errors.Join(err, s.closeUnread())
	}
	return err
}

// start brings the stage to the state of its base.
func (s *stage) start(ctx context.Context) error {
	if err := s.inherit(ctx); err != nil {
		return err
	}
	if s.exported && s.plan.Base.Image != nil {
		for _, l := range s.layers {
			s.build.export(ctx, l.Layer)
		}
	}
	if !s.needsSandbox() {
		return s.startKnown()
	}
	var err error
	s.box, err = s.build.driver.New(ctx, s.label())
	return err
}

// catchUp brings the stage's files to where its layers are. Until somebody looks at
// them, nothing of a layer need be fetched.
func (s *stage) catchUp(ctx context.Context) error {
	if s.box == nil {
		if s.known.isLoaded() {
			return nil
		}
		ctx, end := s.build.Observer.Phase(ctx, Unpack)
		err := s.known.load(ctx)
		end(err)
		return err
	}
	var layers []sandbox.Layer
	for _, l := range s.layers[s.applied:] {
		layers = append(layers, sandbox.Layer{Key: l.key, Changes: func(ctx context.Context) layer.Changes { return s.build.decoding(ctx, s.build.images.unpacked(l)) }})
	}
	defer func() { s.applied = len(s.layers) }()
	if len(layers) == 0 {
		return nil
	}
	ctx, end := s.build.Observer.Phase(ctx, Unpack)
	err := s.box.Apply(ctx, layers...)
	end(err)
	return err
}

// decoding is a phase for as long as the changes are read.
func (b *build) decoding(ctx context.Context, changes layer.Changes) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		_, end := b.Observer.Phase(ctx, Decode)
		var failed error
		defer func() { end(failed) }()
		for change, err := range changes {
			failed = err
			if !yield(change, err) {
				return
			}
		}
	}
}

// inherit takes over layers and history of what FROM names.
func (s *stage) inherit(ctx context.Context) error {
	switch from := s.plan.Base; {
	case from.Stage != nil:
		up := s.build.stages[from.Stage]
		if err := s.await(ctx, up); err != nil {
			return err
		}
		s.base, s.found, s.fresh, s.ran = up.base, up.found, up.fresh, up.ran
		s.layers = append(s.layers, up.layers...)
		s.history = append(s.history, up.history...)
	case from.Image != nil:
		img, err := s.build.images.get(ctx, from.Image)
		if err != nil {
			return err
		}
		s.base, s.found = img.img, s.below()
		for _, l := range img.layers {
			id, err := l.DiffID()
			if err != nil {
				return fmt.Errorf("read config of %s: %w", from.Image.Ref, err)
			}
			s.layers = append(s.layers, keyed{id.String(), l})
		}
	}
	return nil
}

// startKnown begins with the base's files without unpacking them.
func (s *stage) startKnown() (err error) {
	switch from := s.plan.Base; {
	case from.Stage != nil:
		s.known, err = s.build.stages[from.Stage].asLayered()
	default:
		s.known = s.layered()
	}
	return err
}

// asLayered is the finished stage's file system for one that starts from it.
func (s *stage) asLayered() (*layered, error) {
	if s.known != nil {
		return s.known.clone()
	}
	return s.layered(), nil
}

// layered is the file system that the stage's layers make.
func (s *stage) layered() *layered {
	l := newLayered(layersOf(s.layers)...)
	if img := s.root(); img != nil {
		l.begin = func(ctx context.Context) (*layered, error) { return s.build.images.files(ctx, img) }
	}
	return l
}

func layersOf(keys []keyed) []v1.Layer {
	layers := make([]v1.Layer, len(keys))
	for i, k := range keys {
		layers[i] = k.Layer
	}
	return layers
}

// await waits for another stage, letting others work meanwhile.
func (s *stage) await(ctx context.Context, other *stage) error {
	select {
	case <-other.done:
		return other.err
	default:
	}
	_, end := s.build.Observer.Phase(ctx, Wait)
	defer func() { end(nil) }()
	return s.build.turns.aside(ctx, func() error {
		select {
		case <-other.done:
			return other.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// files is what the stage shows to steps of its own.
func (s *stage) files() tree.FS {
	if s.box != nil {
		return s.box
	}
	return s.known.tree
}

// source is what the finished stage shows to a step that reads what it asks for.
func (s *stage) source(ctx context.Context, what placement.Request) (tree.FS, func(), error) {
	switch {
	case s.kept != nil:
		return s.kept, func() {}, nil
	case s.box != nil:
		return s.box, func() {}, nil
	}
	return s.known.source(ctx, what, s.build.Spool)
}

// park gives the root up. What the stages that are left will copy from it is put
// aside before.
func (s *stage) park(left []*stage) error {
	k, err := s.keep(left)
	s.kept = k
	return errors.Join(err, s.closeBox())
}

func (s *stage) keep(left []*stage) (_ *kept, err error) {
	var wanted []placement.Request
	for _, reader := range left {
		for _, w := range reader.todo() {
			for _, r := range plan.Reads(w.Op) {
				if r.From != nil && r.From.Stage == s.plan {
					wanted = append(wanted, requested(r))
				}
			}
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	k := &kept{}
	if k.Tree, err = tree.Copy(s.box); err != nil {
		return nil, err
	}
	if k.store, err = newStore(s.build.Spool); err != nil {
		return nil, err
	}
	for _, what := range wanted {
		what.Source = k.Tree
		files, err := what.Contents()
		var missing *placement.NotFoundError
		if errors.As(err, &missing) {
			continue // the COPY itself says so, with its place in the Dockerfile
		}
		if err == nil {
			err = k.store.takeFiles(s.box, files)
		}
		if err != nil {
			return nil, errors.Join(err, k.store.close())
		}
	}
	return k, nil
}

func (s *store) takeFiles(from tree.FS, files []tree.Path) error {
	for _, p := range files {
		if _, ok := s.held[p]; ok {
			continue
		}
		r, err := from.Open(p)
		if err != nil {
			return err
		}
		if err := errors.Join(s.add(p, r), r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// releaseDependencies tells the stages below that this one has read all it will.
func (s *stage) releaseDependencies() error {
	var err error
	for _, d := range s.dependencies() {
		d.mu.Lock()
		d.pending--
		unread := d.pending == 0
		d.mu.Unlock()
		if unread {
			err = errors.Join(err, d.closeUnread())
		}
	}
	return err
}

// closeUnread frees a sandbox that nobody will read from. Where there is only
// one root, it stays until it is taken over.
func (s *stage) closeUnread() error {
	if s.box == nil || s.build.driver.Limit() == 1 {
		return nil
	}
	return s.closeBox()
}

func (s *stage) closeBox() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.box == nil || s.closed {
		return nil
	}
	s.closed = true
	return s.box.Close()
}

func (s *stage) close() error {
	err := s.closeBox()
	if s.kept != nil {
		err = errors.Join(err, s.kept.store.close())
	}
	return err
}

func (s *stage) label() string {
	if s.plan.Name != "" {
		return s.plan.Name
	}
	return fmt.Sprintf("stage-%d", s.plan.Index)
}
