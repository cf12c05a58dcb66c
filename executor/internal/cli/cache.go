package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// cacheFlags are the flags of what outlives a build.
type cacheFlags struct {
	on           bool
	repos        []string
	dir          string
	dirGiven     bool
	ttl          time.Duration
	runs, copies bool
	noPush       bool
	usage        string
	offline      bool
	stale        bool
}

// defaultTTL is how long entries are used, as kaniko has it: two weeks.
const defaultTTL = 14 * 24 * time.Hour

// defaultDir is where warmer and executor expect base images.
const defaultDir = "/cache"

func (f *cacheFlags) bind(fs *pflag.FlagSet) {
	fs.BoolVar(&f.on, "cache", false, "use the layer cache, and the base images in --cache-dir")
	fs.StringArrayVar(&f.repos, "cache-repo", nil, "`repository` of the layer cache, or oci:DIR; repeatable: all are read, the first is written (default the first destination's, with /cache)")
	fs.StringVar(&f.dir, "cache-dir", defaultDir, "`directory` of base images that warmer fills; it is only read")
	fs.DurationVar(&f.ttl, "cache-ttl", defaultTTL, "how old an entry of the layer cache may be")
	fs.BoolVar(&f.runs, "cache-run-layers", true, "cache what RUN makes, and COPY --from")
	fs.BoolVar(&f.copies, "cache-copy-layers", false, "cache what COPY and ADD take from the build context too")
	fs.BoolVar(&f.noPush, "no-push-cache", false, "read the layer cache only")
	fs.StringVar(&f.usage, "cache-usage", usageJournal, "journal leaves in the layer cache what a build used of it, for cachegc and explanations; off does not")
	fs.BoolVar(&f.offline, "offline", false, "take base images from --cache-dir only, and ask no registry for them")
	fs.BoolVar(&f.stale, "stale-if-error", false, "take a base image from --cache-dir as it was last seen, if its registry cannot be asked")
}

// The values of --cache-usage.
const (
	usageJournal = "journal"
	usageOff     = "off"
)

// check finds what is wrong with the flags; destinations tells whether the place of
// the cache can be told by one.
func (f *cacheFlags) check(destinations bool) error {
	switch {
	case f.usage != usageJournal && f.usage != usageOff:
		return fmt.Errorf("--cache-usage is %q: it must be journal or off", f.usage)
	case f.ttl < 0:
		return fmt.Errorf("--cache-ttl is %s: it cannot be less than 0", f.ttl)
	case !f.on && (f.offline || f.stale):
		return errors.New("--offline and --stale-if-error are about the base images in --cache-dir, and need --cache")
	case f.on && (f.runs || f.copies) && !destinations && len(f.repos) == 0 && !f.offline:
		return errors.New("--cache needs --cache-repo where there is no --destination to tell it by")
	}
	return nil
}

// caching is how the build for a platform uses the layer cache; nil if it does not.
func (b *builder) caching(platform string) (*engine.Caching, error) {
	f := b.flags.cache
	repos := b.flags.cacheRepos()
	if len(repos) == 0 || !f.runs && !f.copies {
		return nil, nil
	}
	var keep func(context.Context, *registry.Layer) v1.Layer
	if b.bases != nil {
		keep = b.bases.Layer
	}
	c := &engine.Caching{
		Runs: f.runs, Copies: f.copies, ReadOnly: b.readsCache(), Lineage: b.lineage(platform), Tool: tool(),
		Warn: func(text string) { b.env.Log.Warn(text) },
	}
	var stores []cache.Store
	for i, repo := range repos {
		place, err := b.openPlace(repo, cache.Options{Tool: tool(), Keep: keep, ReadOnly: i > 0 || c.ReadOnly})
		switch {
		case err != nil:
			return nil, err
		case place == nil:
			stores = append(stores, cache.Nothing{})
			continue
		}
		store := cache.Fresh(place, f.ttl, time.Now)
		if i > 0 {
			store = cache.Spare(store, func(err error) {
				b.env.Log.Warn("the build goes on without the layer cache " + repo + ": " + err.Error())
			})
		} else {
			b.tellOfCache(place, c.ReadOnly)
		}
		if i == 0 && f.usage == usageJournal {
			c.Journals = place
		}
		stores = append(stores, store)
	}
	c.Store = b.tracing.Cache(cache.Several(stores[0], stores[1:]...))
	return c, nil
}

// openPlace opens one place of the layer cache. A directory that is only read and does
// not exist is nil: an earlier build would have made it.
func (b *builder) openPlace(repo string, o cache.Options) (*cache.Place, error) {
	place, err := cache.Open(repo, b.client, o)
	if o.ReadOnly && errors.Is(err, fs.ErrNotExist) {
		b.env.Log.Warn("the layer cache has nothing: " + err.Error())
		return nil, nil
	}
	return place, err
}

// readsCache reports whether the layer cache is only read. One that the user named is
// written although the image is not pushed.
func (b *builder) readsCache() bool {
	f := b.flags.cache
	return f.noPush || b.flags.out.keptHere() && len(f.repos) == 0
}

func (b *builder) tellOfCache(place *cache.Place, readOnly bool) {
	switch {
	case readOnly && !b.flags.cache.noPush:
		b.env.Log.Info("layer cache: reading " + place.String() + " only; with --no-push, layers go to a --cache-repo that is given")
	case readOnly:
		b.env.Log.Debug("layer cache: reading " + place.String())
	case b.flags.out.keptHere():
		b.env.Log.Info("layer cache: layers go to " + place.String() + " although the image is not pushed; --no-push-cache keeps them here")
	default:
		b.env.Log.Debug("layer cache: " + place.String())
	}
}

// cacheRepos are where the layer cache is: what the user named or, else, beside the
// first destination. Offline, only directories are left of them.
func (f *flags) cacheRepos() []string {
	c := &f.cache
	switch {
	case !c.on:
		return nil
	case c.offline:
		return slices.DeleteFunc(slices.Clone(c.repos), func(r string) bool { return !isLayout(r) })
	case len(c.repos) > 0:
		return c.repos
	}
	tag, err := name.NewTag(f.out.destinations[0], name.WeakValidation)
	if err != nil {
		return nil // the destination is refused where it is needed
	}
	return []string{tag.Context().Name() + "/cache"}
}

func isLayout(repo string) bool { return strings.HasPrefix(repo, "oci:") }

// layoutDir is the directory of a layer cache that is one.
func layoutDir(repo string) (dir string, ok bool) {
	if !isLayout(repo) {
		return "", false
	}
	dir, err := filepath.Abs(strings.TrimPrefix(repo, "oci:"))
	return dir, err == nil
}

// registryOptions are those of the registries, where the layer cache is trusted as
// what is pushed to is: it is both read and written.
func (f *flags) registryOptions() registry.Options {
	o := f.registry
	for _, repo := range f.cacheRepos() {
		r, err := name.NewRepository(repo, name.WeakValidation)
		if isLayout(repo) || err != nil {
			continue
		}
		if o.Insecure {
			o.InsecureRegistries = append(slices.Clip(o.InsecureRegistries), r.RegistryStr())
		}
		if o.SkipTLSVerify {
			o.SkipTLSVerifyRegistries = append(slices.Clip(o.SkipTLSVerifyRegistries), r.RegistryStr())
		}
	}
	return o
}

func tool() string { return "kaniko executor " + command.Release }

// lineage is the same for builds of what is one image in the eyes of its users: it
// goes to the same place, from the same Dockerfile.
func (b *builder) lineage(platform string) string {
	where := ""
	if len(b.flags.out.destinations) > 0 {
		if tag, err := b.client.Tag(b.flags.out.destinations[0]); err == nil {
			where = tag.Context().Name()
		}
	}
	text := fmt.Sprintf("%q %q %q %q", where, b.flags.dockerfile, strings.ToLower(b.flags.target()), platform)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
}
