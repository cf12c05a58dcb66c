package cli

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// flags are the warmer's flags, under kaniko's names where kaniko has them.
type flags struct {
	images      []string
	dockerfiles []string
	buildArgs   []string
	platforms   []string
	cacheDir    string
	force       bool
	cacheTTL    time.Duration
	maxBytes    bytesValue
	timing      bool
	registry    registry.Options
	keychain    keychain.Options
	trace       trace.Flags
}

func (f *flags) bind(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.images, "image", "i", nil, "`reference` of an image to warm; repeatable")
	fs.StringArrayVarP(&f.dockerfiles, "dockerfile", "d", nil, "`path` of a Dockerfile whose images to warm; repeatable")
	fs.StringArrayVar(&f.buildArgs, "build-arg", nil, "`KEY=VALUE` for an ARG before the first FROM, or KEY to take the value from the environment; repeatable")
	fs.StringSliceVar(&f.platforms, "platform", nil, "`os/arch[/variant]` that images are for, with commas between several; repeatable; by default this machine's")
	fs.StringVarP(&f.cacheDir, "cache-dir", "c", "/cache", "`directory` to keep images in")
	fs.BoolVarP(&f.force, "force", "f", false, "fetch images that are there, too")
	fs.DurationVar(&f.cacheTTL, "cache-ttl", 0, "for how long a tag is not asked for again; by default each time")
	fs.Var(&f.maxBytes, "max-bytes", "`size` that the directory may have, such as 20GB; images used least recently go first")
	fs.BoolVar(&f.timing, "timing", false, "at the end, print where the time went")
	f.registry.BindPull(fs)
	f.keychain.Bind(fs)
	f.trace.Bind(fs)
	command.Spell(fs, map[string][]string{"platform": {"customPlatform", "custom-platform"}})
}

// check finds what is wrong with the flags.
func (f *flags) check() error {
	if len(f.images) == 0 && len(f.dockerfiles) == 0 {
		return errors.New("nothing to warm: give --image or --dockerfile")
	}
	for _, arg := range f.buildArgs {
		if name, _, _ := strings.Cut(arg, "="); name == "" {
			return fmt.Errorf("--build-arg %q has no name", arg)
		}
	}
	if f.cacheTTL < 0 {
		return errors.New("--cache-ttl is negative")
	}
	if err := f.trace.Check(); err != nil {
		return err
	}
	_, err := f.targets()
	return err
}

// targets are the platforms that images are for.
func (f *flags) targets() ([]v1.Platform, error) {
	if len(f.platforms) == 0 {
		return []v1.Platform{registry.Normalize(v1.Platform{OS: "linux", Architecture: runtime.GOARCH})}, nil
	}
	var all []v1.Platform
	for _, text := range f.platforms {
		p, err := plan.ParsePlatform(text, v1.Platform{OS: "linux", Architecture: runtime.GOARCH})
		if err != nil {
			return nil, fmt.Errorf("--platform: %w", err)
		}
		all = append(all, registry.Normalize(p))
	}
	return all, nil
}

// args are the values of ARGs.
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

// bytesValue is a number of bytes, with a unit if people want one.
type bytesValue int64

// Type implements [pflag.Value].
func (b *bytesValue) Type() string { return "size" }

func (b *bytesValue) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Set implements [pflag.Value]: what [registry.ParseSize] reads, from one byte on.
func (b *bytesValue) Set(text string) error {
	n, ok := registry.ParseSize(text)
	switch {
	case !ok:
		return fmt.Errorf("%q is not a size, such as 20GB: the units are kB, MB, GB, TB and KiB, MiB, GiB, TiB", text)
	case n < 1 || n > math.MaxInt64/2:
		return fmt.Errorf("%q is not a size that a directory can have", text)
	}
	*b = bytesValue(n)
	return nil
}
