package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// Options are what a Plan depends on beside the Dockerfile.
type Options struct {
	// Bases resolves images; it may be nil if the Dockerfile names none.
	Bases Bases
	// BuildArgs are the values given for ARGs, by name.
	BuildArgs map[string]string
	// Target is the stage to build, by name in any case or by number; empty is
	// the last one.
	Target string
	// Also are further stages that are built, as Target names them. Nothing of them is
	// in the image.
	Also []string
	// TargetPlatform is what the image is for, and what FROM means without
	// --platform. If it is zero that is BuildPlatform, and the image says of
	// itself what its base says.
	TargetPlatform v1.Platform
	// BuildPlatform is where commands run.
	BuildPlatform v1.Platform
	// Labels are set on the target's image last of all.
	Labels map[string]string
	// Contexts are the named build contexts. A name goes before that of a stage and
	// of an image.
	Contexts map[string]Context
	// Ignore is what the build context leaves out, to warn of what copies it; nil
	// is nothing.
	Ignore *dockerfile.Ignore
}

// Context is a build context other than the main one: files, or an image.
type Context struct {
	Image string // the reference of an image; empty for files
}

// Bases finds images by reference.
type Bases interface {
	// Resolve finds the image that ref names for a platform: its digest and its
	// config. It is called at most once per reference and platform in a
	// [Compile], for several at the same time.
	Resolve(ctx context.Context, ref string, platform v1.Platform) (*Image, error)
}

// resolves is how many images are resolved at the same time.
const resolves = 8

// scratch is the name of the base that holds nothing.
const scratch = "scratch"

// Compile makes a Plan. Every fault that can be known without running anything is
// found here; those with a place in the Dockerfile are a [*dockerfile.Error].
func Compile(ctx context.Context, f *dockerfile.File, o Options) (*Plan, error) {
	c := newCompiler(f, o)
	target, err := c.target()
	if err != nil {
		return nil, err
	}
	if err := c.prepare(target); err != nil {
		return nil, err
	}
	also, err := c.also()
	if err != nil {
		return nil, err
	}
	needed, err := c.resolve(ctx, append([]*draft{target}, also...)...)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	for _, d := range needed {
		if err := c.compileStage(d); err != nil {
			return nil, err
		}
		p.Stages = append(p.Stages, d.out)
	}
	p.Target = target.out
	for _, d := range also {
		if d != target && !slices.Contains(p.Also, d.out) {
			p.Also = append(p.Also, d.out)
		}
	}
	c.finish(p.Target)
	c.warnUnusedArgs()
	p.Warnings = append(slices.Clone(f.Warnings), c.warnings...)
	if err := strict(f, p.Warnings); err != nil {
		return nil, err
	}
	return p, nil
}

// compiler is the state of one Compile.
type compiler struct {
	file     *dockerfile.File
	o        Options
	implicit bool // the target platform was not given
	expand   dockerfile.Expander
	builtin  []string // names of the platform arguments
	global   environ  // ARGs before the first FROM, and builtin
	drafts   []*draft
	images   map[imageKey]*Image
	triggers []dockerfile.Instruction // of all needed stages
	warnings []dockerfile.Warning
}

func newCompiler(f *dockerfile.File, o Options) *compiler {
	c := &compiler{file: f, o: o, expand: f.Expander(), images: map[imageKey]*Image{}}
	for _, s := range f.Stages {
		c.drafts = append(c.drafts, &draft{in: s})
	}
	return c
}

// prepare finds out what every FROM names.
func (c *compiler) prepare(target *draft) error {
	c.platformArgs(target)
	c.lintDefaults()
	var err error
	if c.global, err = c.globals(c.global, c.o.BuildArgs); err != nil {
		return err
	}
	return c.expandBases()
}

// draft is a stage before it is compiled.
type draft struct {
	in       *dockerfile.Stage
	ref      string // what FROM names, expanded
	platform v1.Platform
	explicit bool   // FROM has --platform
	base     *draft // if ref names a stage
	files    string // if ref names a build context of files, its name
	replaced bool   // ref is a named context in place of the stage
	image    *Image // if ref names an image, once resolved
	triggers []dockerfile.Instruction
	opened   bool // the triggers are known
	out      *Stage
	end      state // where the stage ends, for stages on top of it
}

type imageKey struct {
	ref      string
	platform string
}

func at(loc dockerfile.Location, format string, args ...any) error {
	return &dockerfile.Error{At: loc, Err: fmt.Errorf(format, args...)}
}

// placed gives err a place unless it has one.
func placed(loc dockerfile.Location, name string, err error) error {
	var e *dockerfile.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return at(loc, "%s: %w", name, err)
}

func (c *compiler) warn(src dockerfile.Source, rule, format string, args ...any) {
	if c.file.Silences(rule) || src.Silences(rule) {
		return
	}
	c.warnings = append(c.warnings, dockerfile.Warning{At: src.At, Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// platformArgs fills in the platforms and sets the arguments that every
// Dockerfile has.
func (c *compiler) platformArgs(target *draft) {
	b, t := normalize(c.o.BuildPlatform), normalize(c.o.TargetPlatform)
	if t.OS == "" && t.Architecture == "" {
		c.implicit = true
		t = b
	}
	if b.OS == "" && b.Architecture == "" {
		b = t
	}
	c.o.BuildPlatform, c.o.TargetPlatform = b, t
	stage := "default"
	if target.in.As != "" {
		stage = strings.ToLower(target.in.As)
	}
	for _, v := range [][2]string{
		{"BUILDPLATFORM", formatPlatform(b)},
		{"BUILDOS", b.OS},
		{"BUILDOSVERSION", b.OSVersion},
		{"BUILDARCH", b.Architecture},
		{"BUILDVARIANT", b.Variant},
		{"TARGETPLATFORM", formatPlatform(t)},
		{"TARGETOS", t.OS},
		{"TARGETOSVERSION", t.OSVersion},
		{"TARGETARCH", t.Architecture},
		{"TARGETVARIANT", t.Variant},
		{"TARGETSTAGE", stage},
	} {
		value := v[1]
		if given, ok := c.o.BuildArgs[v[0]]; ok {
			value = given
		}
		c.builtin = append(c.builtin, v[0])
		c.global.set(v[0], value)
	}
}

// globals are the arguments in before with the ARGs before the first FROM; given
// are the values from outside.
func (c *compiler) globals(before environ, given map[string]string) (environ, error) {
	for _, arg := range c.file.Args {
		for _, d := range arg.Declarations {
			value, ok := given[d.Name]
			if !ok {
				if d.Default == nil {
					continue
				}
				var err error
				if value, _, err = c.expand.Word(*d.Default, before.get); err != nil {
					return before, placed(arg.At, "ARG", err)
				}
			}
			before.set(d.Name, value)
		}
	}
	return before, nil
}

// target finds the stage to build.
func (c *compiler) target() (*draft, error) {
	if c.o.Target == "" {
		return c.drafts[len(c.drafts)-1], nil
	}
	return c.stage(c.o.Target)
}

// also finds the further stages to build.
func (c *compiler) also() ([]*draft, error) {
	var all []*draft
	for _, name := range c.o.Also {
		d, err := c.stage(name)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// stage finds a stage by its name or number.
func (c *compiler) stage(name string) (*draft, error) {
	if s, ok := c.file.Find(name, len(c.drafts)); ok {
		return c.drafts[s.Index], nil
	}
	var names []string
	for _, s := range c.file.Stages {
		if s.As != "" {
			names = append(names, s.As)
		}
	}
	advice := fmt.Sprintf("the Dockerfile names no stage; the last one has number %d", len(c.drafts)-1)
	if len(names) > 0 {
		advice = "the stages are " + strings.Join(names, ", ")
	}
	return nil, &dockerfile.Error{
		At:     dockerfile.Location{File: c.file.Name},
		Err:    fmt.Errorf("there is no stage %q (%s)", name, advice),
		Advice: advice,
	}
}

// expandBases finds out what every FROM names, also those that are not needed.
func (c *compiler) expandBases() error {
	for _, d := range c.drafts {
		ref, unset, err := c.expand.Word(d.in.Base, c.global.get)
		if err != nil {
			return placed(d.in.At, "FROM", err)
		}
		c.warnFrom(d.in, unset)
		if strings.TrimSpace(ref) == "" {
			return &dockerfile.Error{
				At:     d.in.At,
				Err:    fmt.Errorf("FROM %s: the name of the base is empty", d.in.Base),
				Advice: "give the ARG in it a default before the first FROM, or pass it as a build argument",
			}
		}
		d.ref = ref
		d.platform = c.o.TargetPlatform
		if d.in.Platform != "" {
			vars, used := noting(c.global.get)
			text, unset, err := c.expand.Word(d.in.Platform, vars)
			if err != nil {
				return placed(d.in.At, "FROM", err)
			}
			c.warnFrom(d.in, unset)
			c.lintPlatform(d.in, text, used(), unset)
			if d.platform, err = ParsePlatform(text, c.o.TargetPlatform); err != nil {
				return at(d.in.At, "FROM --platform=%s: %w", d.in.Platform, err)
			}
			d.explicit = true
		}
		if c.fromContext(d) {
			continue
		}
		// A stage's own name, or that of a later one, is an image's name here.
		if s, ok := c.file.Find(ref, d.in.Index); ok && s.Index < d.in.Index && s.As != "" && strings.EqualFold(s.As, ref) {
			d.base = c.drafts[s.Index]
			d.platform = d.base.platform
		}
	}
	return nil
}

func (c *compiler) warnFrom(s *dockerfile.Stage, unset []string) {
	for _, name := range unset {
		if !c.declaredGlobally(name) {
			c.warn(s.Source, "UndefinedArgInFrom", "FROM uses $%s, which no ARG before the first FROM declares%s", name, meant(name, c.global.names))
		}
	}
}

func (c *compiler) declaredGlobally(name string) bool {
	for _, arg := range c.file.Args {
		for _, d := range arg.Declarations {
			if d.Name == name {
				return true
			}
		}
	}
	return false
}

// resolve finds the images that the targets need, and returns the stages that they
// need in order. Triggers of a base can name further stages and images, so that
// it goes on until nothing new turns up.
func (c *compiler) resolve(ctx context.Context, targets ...*draft) ([]*draft, error) {
	for {
		needed, err := c.needed(targets)
		if err != nil {
			return nil, err
		}
		if err := c.resolveImages(ctx, needed); err != nil {
			return nil, err
		}
		more := false
		for _, d := range needed {
			if d.opened {
				continue
			}
			d.opened, more = true, true
			if err := c.openTriggers(d); err != nil {
				return nil, err
			}
		}
		if !more {
			return needed, nil
		}
	}
}

// needed walks from the targets to all that they are made of.
func (c *compiler) needed(targets []*draft) ([]*draft, error) {
	seen := map[*draft]bool{}
	var visit func(d *draft) error
	visit = func(d *draft) error {
		if seen[d] {
			return nil
		}
		seen[d] = true
		if d.base != nil {
			if err := visit(d.base); err != nil {
				return err
			}
		}
		for _, u := range d.uses() {
			from, err := c.find(d, u)
			if err != nil {
				return err
			}
			if from.stage != nil {
				if err := visit(from.stage); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, target := range targets {
		if err := visit(target); err != nil {
			return nil, err
		}
	}
	// References of stages that are not needed are looked at all the same.
	for _, d := range c.drafts {
		for _, u := range d.uses() {
			if _, err := c.find(d, u); err != nil {
				return nil, err
			}
		}
	}
	var out []*draft
	for _, d := range c.drafts {
		if seen[d] {
			out = append(out, d)
		}
	}
	return out, nil
}

// instructions are a stage's own after the triggers of its base. A named context
// that has the stage's name stands for all of them.
func (d *draft) instructions() []dockerfile.Instruction {
	if d.replaced {
		return nil
	}
	return slices.Concat(d.triggers, d.in.Instructions)
}

// resolveImages asks for the images of the needed stages that are not known yet.
func (c *compiler) resolveImages(ctx context.Context, needed []*draft) error {
	type want struct {
		key      imageKey
		platform v1.Platform
		src      dockerfile.Location
		from     string
	}
	var wants []want
	asked := map[imageKey]bool{}
	ask := func(w want) {
		if _, ok := c.images[w.key]; !ok && !asked[w.key] {
			asked[w.key] = true
			wants = append(wants, w)
		}
	}
	for _, d := range needed {
		if d.isImage() {
			ask(want{imageKey{d.ref, formatPlatform(d.platform)}, d.platform, d.in.At, "FROM " + d.ref})
		}
		for _, u := range d.uses() {
			from, err := c.find(d, u)
			if err != nil {
				return err
			}
			if from.image != (imageKey{}) {
				ask(want{from.image, c.o.TargetPlatform, u.at, u.text})
			}
		}
	}
	for _, w := range wants {
		if w.platform.OS == "windows" {
			return windows(w.src, w.from)
		}
	}
	if len(wants) > 0 && c.o.Bases == nil {
		return at(wants[0].src, "%s: no images can be had here", wants[0].from)
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(resolves)
	for _, w := range wants {
		g.Go(func() error {
			img, err := c.o.Bases.Resolve(ctx, w.key.ref, w.platform)
			if err != nil {
				return at(w.src, "%s: %w", w.from, err)
			}
			if img == nil {
				return at(w.src, "%s: the image was not found", w.from)
			}
			if img.Config == nil {
				bare := *img
				bare.Config = &v1.ConfigFile{}
				img = &bare
			}
			if img.Config.OS == "windows" {
				return windows(w.src, w.from)
			}
			mu.Lock()
			defer mu.Unlock()
			c.images[w.key] = img
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, d := range needed {
		if d.isImage() {
			d.image = c.images[imageKey{d.ref, formatPlatform(d.platform)}]
		}
	}
	return nil
}

func windows(loc dockerfile.Location, from string) error {
	return &dockerfile.Error{At: loc, Err: fmt.Errorf("%s: images for Windows cannot be built here", from)}
}

// openTriggers reads the triggers that d's base keeps for d.
func (c *compiler) openTriggers(d *draft) error {
	var texts []string
	switch {
	case d.replaced:
	case d.base != nil:
		for _, in := range d.base.in.Instructions {
			if ob, ok := in.(*dockerfile.Onbuild); ok {
				texts = append(texts, ob.Trigger)
			}
		}
	case d.image != nil:
		texts = d.image.Config.Config.OnBuild
	}
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			continue
		}
		in, err := dockerfile.ParseTrigger(text, d.in.At)
		if err != nil {
			return err
		}
		d.triggers = append(d.triggers, in)
	}
	c.triggers = append(c.triggers, d.triggers...)
	return nil
}

// finish applies what is said of the target's image from outside.
func (c *compiler) finish(s *Stage) {
	if len(c.o.Labels) > 0 {
		labels := map[string]string{}
		for k, v := range s.Config.Config.Labels {
			labels[k] = v
		}
		for k, v := range c.o.Labels {
			labels[k] = v
		}
		s.Config.Config.Labels = labels
	}
	if c.implicit {
		return
	}
	t := c.o.TargetPlatform
	same := s.Config.OS == t.OS && s.Config.Architecture == t.Architecture
	s.Config.OS, s.Config.Architecture = t.OS, t.Architecture
	if t.Variant != "" || !same {
		s.Config.Variant = t.Variant
	}
	if t.OSVersion != "" || !same {
		s.Config.OSVersion = t.OSVersion
	}
	if len(t.OSFeatures) > 0 || !same {
		s.Config.OSFeatures = t.OSFeatures
	}
}

// warnUnusedArgs tells of build arguments that no ARG takes.
func (c *compiler) warnUnusedArgs() {
	declared := map[string]bool{"SOURCE_DATE_EPOCH": true}
	for _, n := range c.builtin {
		declared[n] = true
	}
	note := func(in dockerfile.Instruction) {
		if arg, ok := in.(*dockerfile.Arg); ok {
			for _, d := range arg.Declarations {
				declared[d.Name] = true
			}
		}
	}
	for _, arg := range c.file.Args {
		note(arg)
	}
	for _, s := range c.file.Stages {
		for _, in := range s.Instructions {
			note(in)
		}
	}
	for _, in := range c.triggers {
		note(in)
	}
	var unused []string
	for name := range c.o.BuildArgs {
		if !declared[name] && !isProxy(name) && !strings.HasPrefix(name, "BUILDKIT_") {
			unused = append(unused, name)
		}
	}
	slices.Sort(unused)
	for _, name := range unused {
		c.warnings = append(c.warnings, dockerfile.Warning{
			At:   dockerfile.Location{File: c.file.Name},
			Rule: dockerfile.UnusedBuildArg,
			Text: fmt.Sprintf("build argument %s was given, but no ARG declares it", name),
		})
	}
}
