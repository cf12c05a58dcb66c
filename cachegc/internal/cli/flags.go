package cli

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/cachegc/internal/plan"
	"github.com/kaniko-suite/kaniko/cachegc/internal/policy"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// flags are those of all commands; each binds what it obeys.
type flags struct {
	// of all
	format      string
	timeout     days
	qps         float64
	termination string
	kind        kind.Options
	registry    registry.Options
	keychain    keychain.Options
	trace       trace.Flags
	// of those that take stock
	config, state string
	foreign       bool // of stats; otherwise one of the rules
	// of those that delete
	force     bool
	referrers bool
	maxDelete ceiling
	// of one
	output   string
	detailed bool
}

func (f *flags) bindCommon(fs *pflag.FlagSet) {
	fs.StringVar(&f.format, "format", "text", "`form` of what is printed: text or json")
	fs.Var(&f.timeout, "timeout", "for `how long` to work, such as 30m; what is left then is for the next run")
	fs.Float64Var(&f.qps, "qps", 0, "requests a second to each registry, at most; 0 is any number that it bears")
	fs.StringVar(&f.termination, "termination-log", "", "`file` to write a summary to; by default /dev/termination-log, if that is there")
	fs.StringVar(&f.kind.Kind, "registry-kind", kind.Auto, "`kind` of registry: "+kind.Auto+", which goes by the host, or "+strings.Join(kind.Kinds(), ", "))
	fs.StringVar(&f.kind.API, "registry-api", "", "`URL` of the interface of its own that the registry has, where it is not the usual one")
	f.registry.BindOwn(fs)
	f.keychain.Bind(fs)
	f.trace.Bind(fs)
}

func (f *flags) bindStock(fs *pflag.FlagSet) {
	fs.StringVar(&f.config, "config", "", "`file`, YAML, with caches and their rules; flags go before it")
	fs.StringVar(&f.state, "state", stateInCache, "where to keep what was learned of manifests: cache, none, or a `directory`")
}

// Where the state is kept, other than in a directory.
const (
	stateInCache = "cache"
	stateNowhere = "none"
)

func (f *flags) bindDelete(fs *pflag.FlagSet) {
	f.maxDelete.Share = 0.2
	fs.Var(&f.maxDelete, "max-delete", "`share` of a cache's entries and bytes, or number of entries, that may be deleted at once; else nothing is")
	fs.BoolVar(&f.force, "force-large", false, "delete more than --max-delete allows")
	fs.BoolVar(&f.referrers, "check-referrers", false, "ask of each entry whether something refers to it, a request more")
}

// check finds what is wrong with the flags.
func (f *flags) check() error {
	switch {
	case f.format != "text" && f.format != "json":
		return fmt.Errorf("--format %q is neither text nor json", f.format)
	case f.qps < 0 || math.IsNaN(f.qps):
		return errors.New("--qps is negative")
	case f.format == "json" && f.output == "-":
		return errors.New("--format=json and --output=- both write to standard output")
	}
	return f.trace.Check()
}

// rules are the flags of what goes and what stays. Of several caches each may have its own.
type rules struct {
	ttl, unusedFor, grace, journals days
	keepPerLineage                  int
	maxBytes, targetBytes           size
	protect                         []string
	unreachable, foreign            bool
}

func bindRules(fs *pflag.FlagSet, r *rules) {
	r.grace, r.journals = days(6*time.Hour), days(30*24*time.Hour)
	fs.Var(&r.ttl, "ttl", "`age`, such as 14d, from which on an entry goes; as executor's --cache-ttl")
	fs.Var(&r.unusedFor, "unused-for", "for `how long`, such as 7d, no build has used an entry that goes")
	fs.IntVar(&r.keepPerLineage, "keep-per-lineage", 0, "how many entries of each image's builds stay, those used last")
	fs.Var(&r.maxBytes, "max-bytes", "`size`, such as 200GB, from which on entries go that were used longest ago")
	fs.Var(&r.targetBytes, "target-bytes", "`size` to which they then go; by default --max-bytes")
	fs.Var(&r.grace, "grace", "`age` up to which nothing goes: longer than the longest build")
	fs.Var(&r.journals, "keep-journals", "for `how long` journals of builds stay that say nothing new; 0 is for ever")
	fs.StringArrayVar(&r.protect, "protect-tags", nil, "regular `expression` for tags that stay; repeatable")
	fs.BoolVar(&r.unreachable, "unreachable", false, "delete entries whose step before is known to be gone")
	fs.BoolVar(&r.foreign, "foreign", false, "take the entries of an old kaniko for the cache's, too")
}

// policy is what the rules come to.
func (r *rules) policy() (policy.Rules, error) {
	p := policy.Rules{
		Grace: time.Duration(r.grace), TTL: time.Duration(r.ttl), UnusedFor: time.Duration(r.unusedFor), Journals: time.Duration(r.journals),
		KeepPerLineage: r.keepPerLineage, Unreachable: r.unreachable, MaxBytes: int64(r.maxBytes), TargetBytes: int64(r.targetBytes),
	}
	switch {
	case r.keepPerLineage < 0:
		return p, errors.New("keep-per-lineage is negative")
	case r.targetBytes > 0 && r.maxBytes == 0:
		return p, errors.New("target-bytes needs max-bytes")
	case r.targetBytes > r.maxBytes:
		return p, errors.New("target-bytes is more than max-bytes")
	}
	if len(r.protect) > 0 {
		one, err := regexp.Compile("(?:" + strings.Join(r.protect, ")|(?:") + ")")
		if err != nil {
			return p, fmt.Errorf("protect-tags: %w", err)
		}
		p.Protect = one
	}
	return p, nil
}

// days is a duration that may be written in days.
type days time.Duration

// Type implements [pflag.Value].
func (d *days) Type() string { return "duration" }

func (d *days) String() string {
	if *d == 0 {
		return "0s"
	}
	return strings.TrimSuffix(strings.TrimSuffix(time.Duration(*d).String(), "0s"), "0m")
}

// Set implements [pflag.Value].
func (d *days) Set(text string) error {
	if number, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(number, 64)
		if err == nil && n >= 0 && n < 100_000 {
			*d = days(n * 24 * float64(time.Hour))
			return nil
		}
	}
	n, err := time.ParseDuration(text)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a duration such as 14d, 36h or 30m", text)
	}
	*d = days(n)
	return nil
}

// size is a number of bytes, with a unit if people want one.
type size int64

// Type implements [pflag.Value].
func (s *size) Type() string { return "size" }

func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Set implements [pflag.Value].
func (s *size) Set(text string) error {
	n, ok := registry.ParseSize(text)
	if !ok || n < 1 {
		return fmt.Errorf("%q is not a size, such as 200GB or 200GiB", text)
	}
	*s = size(n)
	return nil
}

// ceiling is how much one run may delete.
type ceiling struct{ plan.Ceiling }

// Type implements [pflag.Value].
func (c *ceiling) Type() string { return "share" }

// Set implements [pflag.Value].
func (c *ceiling) Set(text string) (err error) {
	c.Ceiling, err = plan.ParseCeiling(text)
	return err
}
