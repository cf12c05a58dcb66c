package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/executor/internal/profile"
	"github.com/kaniko-suite/kaniko/executor/internal/report"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/trace"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// flags are the executor's flags, under kaniko's names.
type flags struct {
	context    contextFlags
	dockerfile string
	buildArgs  []string
	targets    []string
	platforms  []string
	labels     []string

	secrets     []string
	agents      []string
	contexts    []string
	cacheMounts string

	out      outputFlags
	attest   attestFlags
	registry registry.Options
	keychain keychain.Options
	clouds   Clouds

	cache   cacheFlags
	trace   trace.Flags
	profile profile.Flags
	after   afterFlags
	signing signingFlags

	reproducible    bool
	singleSnapshot  bool
	snapshotMode    string
	cleanup         bool
	whitelistVarRun bool
	force           bool
	isolation       string
	kanikoDir       string
	jobs            int
	ignoredPaths    []string
	legacy          legacyFlags

	check  bool
	dryrun bool
	format string
}

func (f *flags) bind(fs *pflag.FlagSet) {
	f.context.bind(fs)
	fs.StringVarP(&f.dockerfile, "dockerfile", "f", "Dockerfile", "Dockerfile: a path from the working directory or from the build context, a URL, or - for standard input")
	fs.StringArrayVar(&f.buildArgs, "build-arg", nil, "`KEY=VALUE` for an ARG, or KEY to take the value from the environment; repeatable")
	fs.StringArrayVar(&f.targets, "target", nil, "`stage` to build, by name or number; the last by default; repeatable: of several the first is the image, and all are built")

	fs.StringSliceVar(&f.platforms, "customPlatform", nil, "`os/arch[/variant]` of the image, and of its bases; by default this machine's; repeatable, or with commas: of several the result is an index of images")
	fs.StringArrayVar(&f.labels, "label", nil, "`KEY=VALUE` for the image's labels; repeatable")

	fs.StringArrayVar(&f.secrets, "secret", nil, "`id=ID,src=FILE` or id=ID,env=NAME: a secret for RUN --mount=type=secret; repeatable")
	fs.StringArrayVar(&f.agents, "ssh", nil, "`ID`[=SOCKET|KEYFILE,…]: an ssh agent for RUN --mount=type=ssh; repeatable")
	fs.StringArrayVar(&f.contexts, "build-context", nil, "`NAME=VALUE`: another build context, docker-image://REF, oci-layout://DIR or what --context takes; repeatable")
	fs.StringVar(&f.cacheMounts, "cache-mounts", "", "`directory` that keeps what RUN --mount=type=cache leaves (default one beside the executor's own files)")

	f.out.bind(fs)
	f.attest.bind(fs)
	f.registry.Bind(fs)
	f.registry.BindPush(fs)
	f.keychain.Bind(fs)
	f.cache.bind(fs)
	f.trace.Bind(fs)
	f.profile.Bind(fs)
	f.after.bind(fs)
	f.signing.bind(fs)

	fs.BoolVar(&f.reproducible, "reproducible", false, "leave the time of the build out of the image")
	fs.BoolVar(&f.singleSnapshot, "single-snapshot", false, "one layer for all instructions of a stage")
	fs.StringVar(&f.snapshotMode, "snapshotMode", "full", "how changes of a RUN are found in place: full, redo or time")
	fs.BoolVar(&f.cleanup, "cleanup", false, "empty the root file system at the end of a build in place")
	fs.BoolVar(&f.whitelistVarRun, "whitelist-var-run", true, "leave /var/run out of the image where it is a directory of this container")
	fs.BoolVar(&f.force, "force", false, "build in place even if files of this root file system will be lost")
	fs.StringVar(&f.isolation, "isolation", "auto", "where RUN runs: in-place, in namespaces, or auto to try")
	fs.IntVar(&f.jobs, "jobs", 0, "how many `commands` of independent stages run at the same time, in namespaces; 0 for as many as there are processors, or up to four times as many where each has a GiB of memory")
	fs.StringVar(&f.kanikoDir, "kaniko-dir", "", "`directory` for the executor's own files (default /kaniko, or one of the user's own)")
	fs.StringArrayVar(&f.ignoredPaths, "ignore-path", nil, "absolute `path`: what RUN changes there, and below, is not in the image; repeatable")
	f.legacy.bind(fs)
	command.BindFlagsFile(fs)
	command.Spell(fs, map[string][]string{
		"tarPath":           {"tar-path"},
		"snapshotMode":      {"snapshot-mode"},
		"whitelist-var-run": {"ignore-var-run"},
		"customPlatform":    {"custom-platform", "platform"},
	})
}

// bindFormat is for commands that report.
func (f *flags) bindFormat(fs *pflag.FlagSet, allowed ...report.Format) {
	fs.StringVar(&f.format, "format", string(report.Text), "`format` of the report: "+formats(allowed))
}

// checkBuild finds what is wrong with the flags of a build taken together.
func (f *flags) checkBuild() error {
	if err := f.out.check(); err != nil {
		return err
	}
	if err := f.attest.check(f.out.pushes()); err != nil {
		return err
	}
	if err := f.cache.check(len(f.out.destinations) > 0); err != nil {
		return err
	}
	if err := f.signing.check(f.out.pushes()); err != nil {
		return err
	}
	if f.cache.offline && f.out.pushes() {
		return errors.New("--offline cannot push: give --no-push, with --oci-layout-path or --tarPath")
	}
	if err := f.checkValues(); err != nil {
		return err
	}
	return f.checkSeveral()
}

// checkSeveral finds what an index of several images cannot have.
func (f *flags) checkSeveral() error {
	if len(f.targetPlatforms()) > 1 && f.out.tarPath != "" {
		return errors.New("--tarPath saves one image, and there are several --customPlatform: use --oci-layout-path")
	}
	return nil
}

// checkValues finds what is wrong with the values of single flags.
func (f *flags) checkValues() error {
	switch f.snapshotMode {
	case "full", "redo", "time":
	default:
		return fmt.Errorf("--snapshotMode is %q: it must be full, redo or time", f.snapshotMode)
	}
	if f.jobs < 0 {
		return fmt.Errorf("--jobs is %d: it must be at least 1, or 0 for the default", f.jobs)
	}
	if err := f.context.check(); err != nil {
		return err
	}
	if _, err := isolated.ParseMode(f.isolation); err != nil {
		return err
	}
	for _, arg := range f.buildArgs {
		if name, _, _ := strings.Cut(arg, "="); name == "" {
			return fmt.Errorf("--build-arg %q has no name", arg)
		}
	}
	for _, path := range f.ignoredPaths {
		if !strings.HasPrefix(path, "/") || tree.Clean(path) == tree.Root {
			return fmt.Errorf("--ignore-path %q is not an absolute path below /", path)
		}
	}
	for _, label := range f.labels {
		if name, _, ok := strings.Cut(label, "="); name == "" || !ok {
			return fmt.Errorf("--label %q is not KEY=VALUE", label)
		}
	}
	for _, platform := range f.platforms {
		if _, err := plan.ParsePlatform(platform, v1.Platform{OS: "linux"}); err != nil {
			return fmt.Errorf("--customPlatform %q: %w", platform, err)
		}
	}
	if err := f.trace.Check(); err != nil {
		return err
	}
	if err := f.profile.Check(); err != nil {
		return err
	}
	return f.out.checkForm()
}

// targetPlatforms are what images are for, each once however it is written; without
// any, the zero one.
func (f *flags) targetPlatforms() []v1.Platform {
	if len(f.platforms) == 0 {
		return []v1.Platform{{}}
	}
	var all []v1.Platform
	for _, text := range f.platforms {
		p, _ := plan.ParsePlatform(text, v1.Platform{OS: "linux"}) // checkValues has tried it
		same := func(other v1.Platform) bool { return registry.Normalize(other).Equals(registry.Normalize(p)) }
		if !slices.ContainsFunc(all, same) {
			all = append(all, p)
		}
	}
	return all
}

// target is the stage whose image is the result; empty is the last.
func (f *flags) target() string {
	if len(f.targets) == 0 {
		return ""
	}
	return f.targets[0]
}

// also are the stages that are built beside it.
func (f *flags) also() []string {
	if len(f.targets) == 0 {
		return nil
	}
	return f.targets[1:]
}

// ignored are the paths of --ignore-path.
func (f *flags) ignored() []tree.Path {
	var all []tree.Path
	for _, path := range f.ignoredPaths {
		all = append(all, tree.Clean(path))
	}
	return all
}

// labelMap are the labels by name.
func (f *flags) labelMap() map[string]string {
	labels := map[string]string{}
	for _, label := range f.labels {
		name, value, _ := strings.Cut(label, "=")
		labels[name] = value
	}
	return labels
}

// ownFiles are the absolute paths of the files that tell of the build.
func (f *flags) ownFiles() []string { return append(f.trace.Paths(), f.profile.Paths()...) }

// args are the build arguments by name. One without a value takes that of the
// environment, and is not given at all if there is none.
func (f *flags) args(lookup func(string) (string, bool)) map[string]string {
	args := map[string]string{}
	for _, arg := range f.buildArgs {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			value, ok = lookup(name)
		}
		if ok {
			args[name] = value
		}
	}
	return args
}
