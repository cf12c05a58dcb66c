package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// Lint finds what the linter has to say of a Dockerfile: of the stages that
// Options.Target needs or, without one, of all. Warnings are in the order of
// their lines, and those found before an error are returned with it.
//
// Without Options.Bases nothing is known of images, and the warnings that would
// be guesses are left out: of variables that a base may set, of its platform, of
// what its triggers hold.
func Lint(ctx context.Context, f *dockerfile.File, o Options) ([]dockerfile.Warning, error) {
	if o.Bases == nil {
		o.Bases = unknownBases{}
	}
	c := newCompiler(f, o)
	err := c.lint(ctx)
	found := slices.Concat(f.Warnings, c.warnings)
	slices.SortStableFunc(found, func(a, b dockerfile.Warning) int {
		return cmp.Or(cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return found, err
}

func (c *compiler) lint(ctx context.Context) error {
	target, err := c.target()
	if err != nil {
		return err
	}
	if err := c.prepare(target); err != nil {
		return err
	}
	targets := c.drafts
	if c.o.Target != "" {
		targets = []*draft{target}
	}
	for _, t := range targets {
		needed, err := c.resolve(ctx, t)
		if err != nil {
			return err
		}
		for _, d := range needed {
			if d.out != nil {
				continue // an earlier target needed it
			}
			if err := c.compileStage(d); err != nil {
				return err
			}
		}
	}
	c.warnUnusedArgs()
	return nil
}

// unknownBases has every image, and knows nothing of any.
type unknownBases struct{}

// Resolve implements [Bases].
func (unknownBases) Resolve(_ context.Context, ref string, p v1.Platform) (*Image, error) {
	return &Image{Ref: ref, Platform: p, Unknown: true}, nil
}

// strict is the error that warnings are where the Dockerfile says so.
func strict(f *dockerfile.File, found []dockerfile.Warning) error {
	i := slices.IndexFunc(found, func(w dockerfile.Warning) bool { return !w.IsNote() })
	if !f.Strict || i < 0 {
		return nil
	}
	w := found[i]
	return &dockerfile.Error{
		At:     w.At,
		Err:    errors.New(strings.TrimPrefix(w.String(), w.At.String()+": ")),
		Advice: `the Dockerfile has "check=error=true", which makes warnings errors`,
	}
}

// reference matches names of images as a registry could have them: a host, a
// path, a tag and a digest.
var reference = regexp.MustCompile(`^(?:(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?` +
	`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*` +
	`(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?` +
	`(?:@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`)

// lintDefaults tells of the FROMs that name no image unless build arguments are
// given. It must be asked before the arguments that were given are known.
func (c *compiler) lintDefaults() {
	defaults, err := c.globals(c.global.clone(), nil)
	if err != nil {
		return // which the arguments given may mend
	}
	for _, s := range c.file.Stages {
		ref, _, err := c.expand.Word(s.Base, defaults.get)
		if err == nil && !reference.MatchString(ref) {
			c.warn(s.Source, "InvalidDefaultArgInFrom", "FROM %s is %q without build arguments, which names no image", s.Base, ref)
		}
	}
}

// lintPlatform looks at what stands after FROM --platform=. text is its value, used
// the variables in it.
func (c *compiler) lintPlatform(s *dockerfile.Stage, text string, used, unset []string) {
	if len(used) == 0 {
		name := strings.ToLower(s.As)
		p, err := ParsePlatform(text, v1.Platform{OS: "linux"})
		if err == nil && !strings.Contains(name, p.OS) && (p.Architecture == "" || !strings.Contains(name, p.Architecture)) {
			c.warn(s.Source, "FromPlatformFlagConstDisallowed",
				"FROM --platform=%s is the same for every target: use $BUILDPLATFORM, or name the stage after the platform", text)
		}
		return
	}
	const target = "TARGETPLATFORM"
	if value, _ := c.global.get(target); len(unset) == 0 && slices.Equal(used, []string{target}) && text == value {
		c.warn(s.Source, "RedundantTargetPlatform", "FROM is for $TARGETPLATFORM anyway: leave --platform=%s out", s.Platform)
	}
}

// noting is vars, and the names that were asked for, each once.
func noting(vars dockerfile.Lookup) (dockerfile.Lookup, func() []string) {
	var names []string
	return func(name string) (string, bool) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		return vars(name)
	}, func() []string { return names }
}

// lintSource looks at a source of COPY in the build context.
func (c *copyBuilder) lintSource(source string) {
	if c.in.From == "" && c.c.o.Ignore != nil && c.c.o.Ignore.Omits(source) {
		c.c.warn(c.src, "CopyIgnoredFile", "%s %s: .dockerignore leaves that out of the build context", c.in.Name, source)
	}
}

// lintPort looks at one word of EXPOSE; mapped is what [parsePorts] says of it.
func (b *builder) lintPort(word string, mapped bool) {
	_, proto, _ := strings.Cut(word[strings.LastIndexByte(word, ':')+1:], "/")
	if proto != strings.ToLower(proto) {
		b.c.warn(b.src, "ExposeProtoCasing", "EXPOSE %s: write the protocol in small letters", word)
	}
	if mapped {
		b.c.warn(b.src, "ExposeInvalidFormat", "EXPOSE %s: an image cannot say anything of the host, only the container's port counts", word)
	}
}

// meant is a guess which of the names was meant by one that is not among them, as
// the end of a message; it is empty if none is near.
func meant(wrong string, names []string) string {
	const far = 3
	best, nearest := far, ""
	for _, n := range names {
		if d := distance(strings.ToLower(wrong), strings.ToLower(n)); d < best && d < len(wrong) {
			best, nearest = d, n
		}
	}
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf(": is $%s meant?", nearest)
}

// distance is how many letters have to be put in, taken out or exchanged to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, above+1, row[j]+1)
			diagonal = above
		}
	}
	return row[len(b)]
}
