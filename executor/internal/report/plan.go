package report

import (
	"net/url"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// Build is what is known of a build before anything of it runs.
type Build struct {
	File         *dockerfile.File
	Path         string // of the Dockerfile, absolute or from the working directory
	Plan         *plan.Plan
	Destinations []string // what the image is pushed to
	// Secret and Agent tell whether the one of an id was given.
	Secret, Agent func(id string) bool
	Sandbox       Sandbox
	// Cache is what the layer cache has of each step; nil if it was not asked.
	Cache map[*plan.Step]engine.Forecast
}

// Sandbox is where commands run. The fields below Needed are of no meaning if none do.
type Sandbox struct {
	Needed bool `json:"needed"`
	// Driver is "namespaces", "in-place" or, if neither can be had, empty.
	Driver string `json:"driver,omitempty"`
	// How is what namespaces there are, and where layers are kept.
	How string `json:"how,omitempty"`
	// Reason says why commands do not run in namespaces.
	Reason string `json:"reason,omitempty"`
	// Obstacles are what is known to keep commands from running here.
	Obstacles []string `json:"obstacles,omitempty"`
	// Capabilities are those that this process needs.
	Capabilities []Capability `json:"capabilities,omitempty"`
}

// Capability is one of Linux's.
type Capability struct {
	Name string `json:"name"`
	For  string `json:"for"`
}

// Reuse is something that need not be made again.
type Reuse struct {
	// Kind is "layers" for those of a base, which become part of the image as they are,
	// or "steps" for what the layer cache has.
	Kind   string `json:"kind"`
	Ref    string `json:"ref,omitempty"`
	Digest string `json:"digest,omitempty"`
	Layers int    `json:"layers"`
}

// InPlace are the capabilities that a build in place needs: to unpack layers and, if
// a command has a user of its own, to become that one.
func InPlace(p *plan.Plan) []Capability {
	caps := unpacking()
	if slices.ContainsFunc(runs(p), func(r plan.Run) bool { return !isRoot(r.User) }) {
		caps = append(caps, Capability{"CAP_SETUID", "USER"}, Capability{"CAP_SETGID", "USER"})
	}
	return caps
}

// isRoot reports whether a USER is root, for sure.
func isRoot(user string) bool {
	name, group, _ := strings.Cut(user, ":")
	zero := []string{"", "0", "root"}
	return slices.Contains(zero, name) && slices.Contains(zero, group)
}

// Mounting are the capabilities that namespaces need if they are not those of a user
// namespace, where everything needed is granted.
func Mounting(p *plan.Plan) []Capability {
	return append([]Capability{{"CAP_SYS_ADMIN", "a mount namespace"}}, InPlace(p)...)
}

func unpacking() []Capability {
	return []Capability{
		{"CAP_CHOWN", "unpacking layers"}, {"CAP_DAC_OVERRIDE", "unpacking layers"}, {"CAP_FOWNER", "unpacking layers"},
		{"CAP_MKNOD", "layers with device nodes, if there are any"},
	}
}

// Offline reports whether a command is to have no network.
func Offline(p *plan.Plan) bool {
	return slices.ContainsFunc(runs(p), func(r plan.Run) bool { return r.Offline })
}

func runs(p *plan.Plan) []plan.Run {
	var all []plan.Run
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			if r, ok := step.Op.(plan.Run); ok {
				all = append(all, r)
			}
		}
	}
	return all
}

// The JSON of a plan; docs/plan.md says what is in it.
type (
	planned struct {
		Dockerfile   string      `json:"dockerfile"`
		Target       targetOf    `json:"target"`
		Stages       []stageOf   `json:"stages"`
		LeftOut      []leftOut   `json:"leftOut"`
		Images       []imageOf   `json:"images"`
		Network      []networkOf `json:"network"`
		Secrets      []given     `json:"secrets"`
		Agents       []given     `json:"ssh"`
		Caches       []cacheOf   `json:"caches"`
		Sandbox      Sandbox     `json:"sandbox"`
		Reuse        []Reuse     `json:"reuse"`
		Destinations []string    `json:"destinations"`
		Warnings     []finding   `json:"warnings"`
	}
	targetOf struct {
		Stage    int    `json:"stage"`
		Name     string `json:"name,omitempty"`
		Platform string `json:"platform"`
	}
	stageOf struct {
		Stage    int      `json:"stage"`
		Name     string   `json:"name,omitempty"`
		Line     int      `json:"line"`
		Platform string   `json:"platform"`
		Base     sourceOf `json:"base"`
		Sandbox  bool     `json:"sandbox"`
		Steps    []stepOf `json:"steps"`
	}
	leftOut struct {
		Stage  int    `json:"stage"`
		Name   string `json:"name,omitempty"`
		Line   int    `json:"line"`
		Reason string `json:"reason"`
	}
	// sourceOf is a place that files come from.
	sourceOf struct {
		Kind    string   `json:"kind"` // scratch, stage, image, context
		Stage   *int     `json:"stage,omitempty"`
		Image   *imageOf `json:"image,omitempty"`
		Context string   `json:"context,omitempty"` // the name of a named one
	}
	imageOf struct {
		Ref      string `json:"ref"`
		Digest   string `json:"digest"`
		Platform string `json:"platform"`
		Layers   int    `json:"layers"`
	}
	stepOf struct {
		Line     int       `json:"line"`
		LastLine int       `json:"lastLine"`
		Op       string    `json:"op"` // run, copy, directory, config
		Text     string    `json:"text"`
		User     string    `json:"user,omitempty"`
		Network  bool      `json:"network"`
		From     *sourceOf `json:"from,omitempty"`
		Fetches  []string  `json:"fetches,omitempty"`
		Mounts   []mountOf `json:"mounts,omitempty"`
		Cache    *cachedOf `json:"cache,omitempty"`
	}
	cachedOf struct {
		Use    string   `json:"use"` // hit, done or skipped
		Key    string   `json:"key,omitempty"`
		Missed []string `json:"missed,omitempty"`
	}
	mountOf struct {
		Type     string    `json:"type"`
		ID       string    `json:"id,omitempty"`
		Target   string    `json:"target,omitempty"`
		From     *sourceOf `json:"from,omitempty"`
		Source   string    `json:"source,omitempty"`
		Env      string    `json:"env,omitempty"`
		ReadOnly bool      `json:"readOnly"`
		Required bool      `json:"required"`
	}
	networkOf struct {
		For  string `json:"for"` // pull, run, fetch, push
		What string `json:"what"`
		Line int    `json:"line,omitempty"`
	}
	given struct {
		ID       string `json:"id"`
		Required bool   `json:"required"`
		Given    bool   `json:"given"`
		Lines    []int  `json:"lines"`
	}
	cacheOf struct {
		ID      string `json:"id"`
		Sharing string `json:"sharing"`
		Lines   []int  `json:"lines"`
	}
)

// describe gathers what is to be printed.
func (b Build) describe() planned {
	t := b.Plan.Target
	d := planned{
		Dockerfile: b.Path,
		Target:     targetOf{t.Index, t.Name, platform(t.Platform)},
		Stages:     []stageOf{}, LeftOut: b.leftOut(),
		Images: []imageOf{}, Network: []networkOf{}, Secrets: []given{}, Agents: []given{}, Caches: []cacheOf{},
		Sandbox: b.Sandbox, Reuse: b.reuse(t),
		Destinations: append([]string{}, b.Destinations...),
		Warnings:     Findings{File: b.Path, Warnings: b.Plan.Warnings, Strict: b.File.Strict}.list(),
	}
	for _, s := range b.Plan.Stages {
		stage := stageOf{Stage: s.Index, Name: s.Name, Line: s.At.Line, Platform: platform(s.Platform), Base: baseOf(s.Base), Steps: []stepOf{}}
		d.pull(stage.Base.Image, s.At.Line)
		for _, step := range s.Steps {
			stage.Sandbox = stage.Sandbox || stepKind(step.Op) == "run"
			stage.Steps = append(stage.Steps, b.step(&d, step))
		}
		d.Stages = append(d.Stages, stage)
	}
	for _, ref := range b.Destinations {
		d.Network = append(d.Network, networkOf{For: "push", What: ref})
	}
	return d
}

// reuse is what need not be made: the layers of the base, and what the cache has.
func (b Build) reuse(t *plan.Stage) []Reuse {
	all := baseLayers(t)
	hits := 0
	for _, f := range b.Cache {
		if f.Use == cache.Hit {
			hits++
		}
	}
	if hits > 0 {
		all = append(all, Reuse{Kind: "steps", Layers: hits})
	}
	return all
}

// step describes a step, and notes in d what it needs.
func (b Build) step(d *planned, s *plan.Step) stepOf {
	out := stepOf{Line: s.At.Line, LastLine: s.At.Last, Op: stepKind(s.Op), Text: line(s.Text)}
	if f, ok := b.Cache[s]; ok {
		out.Cache = &cachedOf{string(f.Use), string(f.Key), f.Missed}
	}
	switch op := s.Op.(type) {
	case plan.Run:
		out.User, out.Network = op.User, !op.Offline
		if out.Network && !b.Cache[s].Cached() {
			d.Network = append(d.Network, networkOf{"run", out.Text, out.Line})
		}
		for _, m := range op.Mounts {
			out.Mounts = append(out.Mounts, b.mount(d, m, out.Line))
		}
	case plan.Copy:
		if len(op.Sources) > 0 {
			from := sourceOfFiles(op.From)
			out.From = &from
			d.pull(from.Image, out.Line)
		}
		for _, r := range op.Remotes {
			address := redacted(r.URL)
			out.Fetches, out.Network = append(out.Fetches, address), true
			d.Network = append(d.Network, networkOf{"fetch", address, out.Line})
		}
	}
	return out
}

func (b Build) mount(d *planned, m plan.Mount, at int) mountOf {
	out := mountOf{Type: string(m.Type), ID: m.ID, Target: m.Target, Source: m.Source, Env: m.Env, ReadOnly: m.ReadOnly, Required: m.Required}
	if m.From != nil || m.Type == dockerfile.MountBind {
		from := sourceOfFiles(m.From)
		out.From = &from
		d.pull(from.Image, at)
	}
	switch m.Type {
	case dockerfile.MountSecret:
		d.Secrets = note(d.Secrets, m, at, b.Secret)
	case dockerfile.MountSSH:
		d.Agents = note(d.Agents, m, at, b.Agent)
	case dockerfile.MountCache:
		i := slices.IndexFunc(d.Caches, func(c cacheOf) bool { return c.ID == m.ID })
		if i < 0 {
			i = len(d.Caches)
			d.Caches = append(d.Caches, cacheOf{ID: m.ID, Sharing: string(m.Sharing)})
		}
		d.Caches[i].Lines = append(d.Caches[i].Lines, at)
	}
	return out
}

// note adds a mount to what must be given from outside.
func note(list []given, m plan.Mount, at int, has func(id string) bool) []given {
	i := slices.IndexFunc(list, func(g given) bool { return g.ID == m.ID })
	if i < 0 {
		i = len(list)
		list = append(list, given{ID: m.ID, Given: has(m.ID)})
	}
	list[i].Required = list[i].Required || m.Required
	list[i].Lines = append(list[i].Lines, at)
	return list
}

// pull notes an image whose registry is asked; nil is none.
func (d *planned) pull(i *imageOf, at int) {
	if i == nil || slices.Contains(d.Images, *i) {
		return
	}
	d.Images = append(d.Images, *i)
	if !strings.Contains(i.Ref, "://") { // an image in a directory
		d.Network = append(d.Network, networkOf{"pull", i.Ref, at})
	}
}

// leftOut are the stages that are not in the plan.
func (b Build) leftOut() []leftOut {
	out := []leftOut{}
	for _, s := range b.File.Stages {
		if slices.ContainsFunc(b.Plan.Stages, func(p *plan.Stage) bool { return p.Index == s.Index }) {
			continue
		}
		reason := "the target takes nothing from it"
		if s.Index > b.Plan.Target.Index && len(b.Plan.Also) == 0 {
			reason = "it comes after the target"
		}
		out = append(out, leftOut{s.Index, s.As, s.At.Line, reason})
	}
	return out
}

// baseLayers are those that the target's image begins with.
func baseLayers(s *plan.Stage) []Reuse {
	for s.Base.Stage != nil {
		s = s.Base.Stage
	}
	i := s.Base.Image
	if i == nil || layers(i) == 0 {
		return []Reuse{}
	}
	return []Reuse{{Kind: "layers", Ref: i.Ref, Digest: i.Digest.String(), Layers: layers(i)}}
}

func layers(i *plan.Image) int {
	if i.Config == nil {
		return 0
	}
	return len(i.Config.RootFS.DiffIDs)
}

func baseOf(b plan.Base) sourceOf {
	if b.Stage == nil && b.Image == nil {
		return sourceOf{Kind: "scratch"}
	}
	return sourceOfFiles(&plan.Source{Stage: b.Stage, Image: b.Image})
}

// sourceOfFiles is a place that files come from; nil is the build context.
func sourceOfFiles(s *plan.Source) sourceOf {
	switch {
	case s == nil:
		return sourceOf{Kind: "context"}
	case s.Stage != nil:
		return sourceOf{Kind: "stage", Stage: &s.Stage.Index}
	case s.Image != nil:
		return sourceOf{Kind: "image", Image: &imageOf{s.Image.Ref, s.Image.Digest.String(), platform(s.Image.Platform), layers(s.Image)}}
	}
	return sourceOf{Kind: "context", Context: s.Context}
}

func stepKind(op plan.Op) string {
	switch op.(type) {
	case plan.Run:
		return "run"
	case plan.Copy:
		return "copy"
	case plan.Dir:
		return "directory"
	}
	return "config"
}

func platform(p v1.Platform) string {
	return path.Join(p.OS, p.Architecture, p.Variant)
}

// redacted is a URL without its password.
func redacted(s string) string {
	if u, err := url.Parse(s); err == nil {
		return u.Redacted()
	}
	return s
}
