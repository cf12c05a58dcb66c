package plan

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// state is what instructions leave for those after them.
type state struct {
	config v1.ConfigFile
	start  time.Duration // StartInterval
	// vars are what words expand from and what RUN sees: ENV and ARG in one,
	// where the later one wins.
	vars environ
	args []string // names of ARGs in the order of their declaration, for history
	// workdirSet: a WORKDIR of this Dockerfile was met.
	workdirSet bool
	// unknown: the base was not looked at, and may have set any variable.
	unknown bool
}

// clone makes a state that can be changed without the other noticing.
func (s state) clone() state {
	s.config = *s.config.DeepCopy()
	s.vars = s.vars.clone()
	s.args = slices.Clone(s.args)
	return s
}

// builder compiles one stage.
type builder struct {
	c     *compiler
	d     *draft
	stage *Stage
	state
	src dockerfile.Source // the instruction at hand
	// instructions of which only the last one counts, by name, if this stage has
	// them.
	seen map[string]dockerfile.Source
}

func (c *compiler) compileStage(d *draft) error {
	b := &builder{
		c: c, d: d,
		stage: &Stage{Index: d.in.Index, Name: d.in.As, Platform: d.platform, At: d.in.At},
		src:   d.in.Source,
		seen:  map[string]dockerfile.Source{},
	}
	switch {
	case d.base != nil:
		b.stage.Base.Stage = d.base.out
		b.state = d.base.end.clone()
	case d.image != nil:
		b.stage.Base.Image = d.image
		b.unknown = d.image.Unknown
		b.state.config = *d.image.Config.DeepCopy()
		b.checkBase()
	default:
		p := d.platform
		b.state.config = v1.ConfigFile{
			OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures,
			RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
			Config: v1.Config{WorkingDir: "/"},
		}
	}
	if d.base == nil {
		b.enterBase()
	}
	b.config.Config.OnBuild = nil
	if d.files != "" {
		b.step(Copy{From: &Source{Context: d.files}, Sources: []string{"."}, Dest: "/", DestDir: true}, "FROM %s", d.files)
	}
	for _, in := range d.instructions() {
		b.src = in.Where()
		if err := b.dispatch(in); err != nil {
			return placed(b.src.At, b.src.Name, err)
		}
	}
	b.stage.Config = *b.config.DeepCopy()
	b.stage.StartInterval = b.start
	d.out, d.end = b.stage, b.state
	return nil
}

// checkBase warns of a base for another machine.
func (b *builder) checkBase() {
	cfg, want := b.config, b.d.platform
	if cfg.OS == "" && cfg.Architecture == "" {
		return
	}
	have := normalize(v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant})
	if have.OS != want.OS || have.Architecture != want.Architecture {
		b.c.warn(b.src, "InvalidBaseImagePlatform", "%s is an image for %s, wanted is %s", b.d.ref, formatPlatform(have), formatPlatform(want))
	}
}

// enterBase takes over from a base's config what instructions build on. Configs
// in the wild have entries that no builder writes; they are left alone.
func (b *builder) enterBase() {
	b.config.Created = v1.Time{}
	b.config.Container = ""
	b.config.DockerVersion = ""
	b.config.Config.Image = ""
	for _, e := range b.config.Config.Env {
		if name, value, _ := strings.Cut(e, "="); name != "" {
			b.vars.set(name, value)
		}
	}
	if _, ok := b.vars.get("PATH"); !ok {
		b.vars.set("PATH", defaultPath)
		b.config.Config.Env = setEnv(b.config.Config.Env, "PATH", defaultPath)
	}
	if wd := b.config.Config.WorkingDir; wd != "" {
		b.config.Config.WorkingDir = path.Join("/", wd)
	}
}

// step appends a step with the config as it now is.
func (b *builder) step(op Op, created string, args ...any) {
	b.stage.Steps = append(b.stage.Steps, &Step{
		Op:        op,
		Config:    *b.config.Config.DeepCopy(),
		CreatedBy: fmt.Sprintf(created, args...),
		Text:      strings.Join(strings.Fields(b.src.Text), " "),
		At:        b.src.At,
	})
}

// word expands a word of the instruction at hand.
func (b *builder) word(s string) (string, error) {
	text, unset, err := b.c.expand.Word(s, b.vars.get)
	b.warnUnset(unset)
	return text, err
}

func (b *builder) warnUnset(unset []string) {
	if b.unknown {
		return
	}
	for _, name := range unset {
		if !slices.Contains(b.args, name) {
			b.c.warn(b.src, "UndefinedVar", "$%s is used, but no ENV or ARG sets it%s", name, meant(name, b.vars.names))
		}
	}
}

// once notes an instruction of which only the last in a stage counts.
func (b *builder) once() {
	if first, ok := b.seen[b.src.Name]; ok && !b.src.Silences("MultipleInstructionsDisallowed") {
		b.c.warn(first, "MultipleInstructionsDisallowed", "this %s has no effect: only the last one of a stage counts", b.src.Name)
	}
	b.seen[b.src.Name] = b.src
}

func (b *builder) dispatch(in dockerfile.Instruction) error {
	cfg := &b.config.Config
	switch in := in.(type) {
	case *dockerfile.Arg:
		return b.arg(in)
	case *dockerfile.Env:
		return b.env(in)
	case *dockerfile.Label:
		return b.label(in)
	case *dockerfile.Run:
		return b.run(in)
	case *dockerfile.Copy:
		return b.copy(in)
	case *dockerfile.Workdir:
		return b.workdir(in)
	case *dockerfile.User:
		user, err := b.word(in.User)
		if err != nil {
			return err
		}
		cfg.User = user
		b.step(Meta{}, "USER %s", user)
	case *dockerfile.Expose:
		return b.expose(in)
	case *dockerfile.Volume:
		return b.volume(in)
	case *dockerfile.Cmd:
		b.once()
		cfg.Cmd = b.command(in.Command)
		b.step(Meta{}, "CMD %q", cfg.Cmd)
	case *dockerfile.Entrypoint:
		b.once()
		cfg.Entrypoint = b.command(in.Command)
		if _, ok := b.seen["CMD"]; !ok {
			cfg.Cmd = nil // it was made for another entry point
		}
		b.step(Meta{}, "ENTRYPOINT %q", cfg.Entrypoint)
	case *dockerfile.Shell:
		cfg.Shell = slices.Clone(in.Args)
		b.step(Meta{}, "SHELL %v", cfg.Shell)
	case *dockerfile.Healthcheck:
		b.healthcheck(in)
	case *dockerfile.StopSignal:
		signal, err := b.word(in.Signal)
		if err != nil {
			return err
		}
		if err := checkSignal(signal); err != nil {
			return err
		}
		cfg.StopSignal = signal
		b.step(Meta{}, "STOPSIGNAL %s", signal)
	case *dockerfile.Onbuild:
		cfg.OnBuild = append(slices.Clip(cfg.OnBuild), in.Trigger)
		b.step(Meta{}, "ONBUILD %s", in.Trigger)
	case *dockerfile.Maintainer:
		b.config.Author = in.Author
		b.step(Meta{}, "MAINTAINER %s", in.Author)
	default:
		return fmt.Errorf("there is no step for %T", in)
	}
	return nil
}

func (b *builder) arg(in *dockerfile.Arg) error {
	var said []string
	for _, d := range in.Declarations {
		b.warnSecret(d.Name)
		value, ok := b.c.o.BuildArgs[d.Name]
		switch {
		case ok:
		case d.Default != nil:
			var err error
			if value, err = b.word(*d.Default); err != nil {
				return err
			}
			ok = true
		default:
			value, ok = b.c.global.get(d.Name)
		}
		if !slices.Contains(b.args, d.Name) {
			b.args = append(b.args, d.Name)
		}
		if ok {
			b.vars.set(d.Name, value)
			said = append(said, d.Name+"="+value)
		} else {
			said = append(said, d.Name)
		}
	}
	b.step(Meta{}, "ARG %s", strings.Join(said, " "))
	return nil
}

// pairs expands all pairs of an instruction before any of them takes effect.
func (b *builder) pairs(in []dockerfile.Pair) ([]dockerfile.Pair, error) {
	out := slices.Clone(in)
	legacy := false
	for i, p := range out {
		var err error
		if out[i].Key, err = b.word(p.Key); err != nil {
			return nil, err
		}
		if out[i].Value, err = b.word(p.Value); err != nil {
			return nil, err
		}
		if out[i].Key == "" {
			return nil, fmt.Errorf("the name %q expands to nothing", p.Key)
		}
		legacy = legacy || p.Legacy
	}
	if legacy {
		b.c.warn(b.src, "LegacyKeyValueFormat", "%s without \"=\" is an old form: write key=value", b.src.Name)
	}
	return out, nil
}

func (b *builder) env(in *dockerfile.Env) error {
	pairs, err := b.pairs(in.Pairs)
	if err != nil {
		return err
	}
	said := ""
	for _, p := range pairs {
		if strings.Contains(p.Key, "=") {
			return fmt.Errorf("the name %q contains \"=\"", p.Key)
		}
		b.warnSecret(p.Key)
		b.vars.set(p.Key, p.Value)
		b.config.Config.Env = setEnv(b.config.Config.Env, p.Key, p.Value)
		said += " " + p.Key + "=" + p.Value
	}
	b.step(Meta{}, "ENV%s", said)
	return nil
}

func (b *builder) label(in *dockerfile.Label) error {
	pairs, err := b.pairs(in.Pairs)
	if err != nil {
		return err
	}
	labels := maps.Clone(b.config.Config.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	said := ""
	for _, p := range pairs {
		labels[p.Key] = p.Value
		said += " " + p.Key + "=" + p.Value
	}
	b.config.Config.Labels = labels
	b.step(Meta{}, "LABEL%s", said)
	return nil
}

func (b *builder) workdir(in *dockerfile.Workdir) error {
	dir, err := b.word(in.Path)
	if err != nil {
		return err
	}
	if !path.IsAbs(dir) && !b.workdirSet {
		b.c.warn(b.src, "WorkdirRelativePath", "WORKDIR %s depends on the base's working directory: write an absolute path", dir)
	}
	b.workdirSet = true
	dir = b.absolute(dir)
	b.config.Config.WorkingDir = dir
	var op Op = Meta{}
	if dir != "/" {
		op = Dir{Path: dir, User: b.config.Config.User}
	}
	b.step(op, "WORKDIR %s", dir)
	return nil
}

// absolute is p seen from the working directory.
func (b *builder) absolute(p string) string {
	if !path.IsAbs(p) {
		p = path.Join("/", b.config.Config.WorkingDir, p)
	}
	return path.Clean(p)
}

func (b *builder) expose(in *dockerfile.Expose) error {
	var said []string
	ports := maps.Clone(b.config.Config.ExposedPorts)
	if ports == nil {
		ports = map[string]struct{}{}
	}
	for _, p := range in.Ports {
		// A variable that nothing sets is no warning here: it names no port.
		words, _, err := b.c.expand.Words(p, b.vars.get)
		if err != nil {
			return err
		}
		for _, w := range words {
			list, mapped, err := parsePorts(w)
			if err != nil {
				return err
			}
			b.lintPort(w, mapped)
			for _, port := range list {
				ports[port] = struct{}{}
			}
			said = append(said, list...)
		}
	}
	if len(ports) > 0 {
		b.config.Config.ExposedPorts = ports
	}
	b.step(Meta{}, "EXPOSE %v", said)
	return nil
}

func (b *builder) volume(in *dockerfile.Volume) error {
	volumes := maps.Clone(b.config.Config.Volumes)
	if volumes == nil {
		volumes = map[string]struct{}{}
	}
	var said []string
	for _, p := range in.Paths {
		dir, err := b.word(p)
		if err != nil {
			return err
		}
		if dir == "" {
			return fmt.Errorf("the path %q expands to nothing", p)
		}
		volumes[dir] = struct{}{}
		said = append(said, dir)
	}
	b.config.Config.Volumes = volumes
	b.step(Meta{}, "VOLUME %v", said)
	return nil
}

func (b *builder) healthcheck(in *dockerfile.Healthcheck) {
	b.once()
	b.config.Config.Healthcheck = &v1.HealthConfig{
		Test:        slices.Clone(in.Test),
		Interval:    in.Interval,
		Timeout:     in.Timeout,
		StartPeriod: in.StartPeriod,
		Retries:     in.Retries,
	}
	b.start = in.StartInterval
	said := ""
	for _, o := range []struct {
		name  string
		value time.Duration
	}{
		{"interval", in.Interval},
		{"timeout", in.Timeout},
		{"start-period", in.StartPeriod},
		{"start-interval", in.StartInterval},
	} {
		if o.value != 0 {
			said += fmt.Sprintf(" --%s=%s", o.name, o.value)
		}
	}
	if in.Retries != 0 {
		said += fmt.Sprintf(" --retries=%d", in.Retries)
	}
	b.step(Meta{}, "HEALTHCHECK%s %q", said, in.Test)
}

// shell is what the shell forms are given to.
func (b *builder) shell() []string {
	if len(b.config.Config.Shell) > 0 {
		return slices.Clone(b.config.Config.Shell)
	}
	return []string{"/bin/sh", "-c"}
}

// command is the list that CMD or ENTRYPOINT leaves in the config.
func (b *builder) command(in dockerfile.Command) []string {
	if !in.Shell {
		return slices.Clone(in.Args)
	}
	if len(b.config.Config.Shell) == 0 {
		b.c.warn(b.src, "JSONArgsRecommended", "%s in shell form: signals reach the shell and not the command; write a JSON list", b.src.Name)
	}
	return append(b.shell(), strings.Join(in.Args, " "))
}

// secret matches names of variables that sound like secrets, public ones that
// do not.
var (
	secret = regexp.MustCompile(`(?i)(?:^|_)(?:api_?key|auth|credentials?|key|password|passwd|pword|secret|token)(?:_|$)`)
	public = regexp.MustCompile(`(?i)(?:^|_)(?:public|file|version)(?:_|$)`)
)

func soundsSecret(name string) bool { return secret.MatchString(name) && !public.MatchString(name) }

func (b *builder) warnSecret(name string) {
	if soundsSecret(name) {
		b.c.warn(b.src, "SecretsUsedInArgOrEnv", "%s %s sounds like a secret, and anyone with the image can read it", b.src.Name, name)
	}
}
