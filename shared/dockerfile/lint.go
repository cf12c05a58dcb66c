package dockerfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// quiet are the rules that a "check=" line turns off, and the experimental ones
// that it turns on.
type quiet struct {
	all    bool
	rules  []string
	tryAll bool
	try    []string
}

// Silences reports whether warnings of the rule are turned off here.
func (q quiet) Silences(rule string) bool { return q.all || slices.Contains(q.rules, rule) }

// tries reports whether an experimental rule is turned on here. "skip=all" does
// not turn it off again, so that both together ask for that rule alone.
func (q quiet) tries(rule string) bool {
	return (q.tryAll || slices.Contains(q.try, rule)) && !slices.Contains(q.rules, rule)
}

func quietOf(c *linter.Config) quiet {
	return quiet{all: c.SkipAll, rules: c.SkipRules, tryAll: c.ExperimentalAll, try: c.ExperimentalRules}
}

// commentQuiet reads the comments right above an instruction.
func commentQuiet(comments []string) quiet {
	for _, c := range comments {
		name, value, ok := strings.Cut(c, "=")
		if !ok || strings.TrimSpace(strings.ToLower(name)) != "check" {
			continue
		}
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
		if o, err := linter.ParseLintOptions(value); err == nil {
			return quietOf(o)
		}
	}
	return quiet{}
}

// checkOptions takes over what is said of the linter: by check or, if that is
// nil, by the "# check=" line of the file. What follows the first space of that
// line is a comment.
func (f *File) checkOptions(text []byte, check *string) error {
	where := Location{File: f.Name}
	if check == nil {
		options, _, at, ok := parser.ParseDirective("check", text)
		if ok && len(at) > 0 {
			where.Line, where.Last = at[0].Start.Line, at[0].Start.Line
		}
		check = &options
	}
	o, err := linter.ParseLintOptions(*check)
	if err != nil {
		return &Error{At: where, Err: err}
	}
	f.quiet = quietOf(o)
	f.Strict = o.ReturnAsError
	return nil
}

// warn notes a warning unless the file or the instruction turns its rule off.
func (f *File) warn(src Source, rule, format string, args ...any) {
	if !f.Silences(rule) && !src.Silences(rule) {
		f.Warnings = append(f.Warnings, Warning{At: src.At, Rule: rule, Text: fmt.Sprintf(format, args...)})
	}
}

// lintContinuations tells of the empty lines that the parser found in
// instructions; it has no other warnings.
func (f *File) lintContinuations(found []parser.Warning) {
	for _, w := range found {
		var at []parser.Range
		if w.Location != nil {
			at = append(at, *w.Location)
		}
		f.warn(Source{At: f.at(at)}, "NoEmptyContinuation", "an empty line within an instruction: take it out, or put a # there")
	}
}

// lintNode looks at one instruction as it is written.
func (f *File) lintNode(src Source, n *parser.Node) {
	switch src.Name {
	case "FROM":
		f.lintFrom(src, n)
	case "ARG":
		var names []string
		for word := n.Next; word != nil; word = word.Next {
			name, _, _ := strings.Cut(word.Value, "=")
			names = append(names, name)
		}
		f.lintDescription(src, n.PrevComment, names)
	case "MAINTAINER":
		f.warn(src, "MaintainerDeprecated", "MAINTAINER is deprecated: the label org.opencontainers.image.authors says the same")
	}
}

func (f *File) lintFrom(src Source, n *parser.Node) {
	var words []string
	for word := n.Next; word != nil; word = word.Next {
		words = append(words, word.Value)
	}
	if len(words) != 3 {
		return
	}
	as, name := words[1], words[2]
	lower := strings.ToLower(name)
	if name != lower {
		f.warn(src, "StageNameCasing", "stage name %q has capital letters: write %s, since names of stages are the same in any case", name, lower)
	}
	switch n.Value {
	case strings.ToLower(n.Value):
		if as != strings.ToLower(as) {
			f.warn(src, "FromAsCasing", "%q and %q are not written alike", n.Value, as)
		}
	case strings.ToUpper(n.Value):
		if as != strings.ToUpper(as) {
			f.warn(src, "FromAsCasing", "%q and %q are not written alike", n.Value, as)
		}
	}
	f.lintDescription(src, n.PrevComment, []string{lower})
}

// lintDescription looks at the last comment above a definition, which says what
// is defined: some tools show it.
func (f *File) lintDescription(src Source, comments, names []string) {
	const rule = "InvalidDefinitionDescription"
	if len(comments) == 0 || len(names) == 0 || !f.tries(rule) && !src.tries(rule) ||
		slices.Contains(f.rules, rule) || slices.Contains(src.rules, rule) {
		return
	}
	if first, _, _ := strings.Cut(comments[len(comments)-1], " "); slices.Contains(names, first) {
		return
	}
	f.Warnings = append(f.Warnings, Warning{At: src.At, Rule: rule,
		Text: fmt.Sprintf("the comment above does not begin with what it describes: write %q, or an empty comment in between", "# "+names[0]+" ...")})
}

// lintStages looks at the file as a whole.
func (f *File) lintStages() {
	names := map[string]Location{}
	for _, s := range f.Stages {
		name := strings.ToLower(s.As)
		if name == "" {
			continue
		}
		if name == "scratch" || name == "context" {
			f.warn(s.Source, "ReservedStageName", "stage name %q has a meaning of its own", s.As)
		}
		if first, ok := names[name]; ok {
			f.warn(s.Source, "DuplicateStageName", "stage name %q is already used at %s", s.As, first)
			continue
		}
		names[name] = s.At
	}
}

// caseLint finds instruction names that are written neither as most are nor as
// the rest: it counts names in small and in capital letters. ARGs before the first
// FROM are not among them.
type caseLint struct {
	lower, upper int
	odd          []struct {
		src  Source
		name string
	}
}

func (c *caseLint) add(src Source, name string) {
	switch name {
	case strings.ToUpper(name):
		c.upper++
	case strings.ToLower(name):
		c.lower++
	}
	c.odd = append(c.odd, struct {
		src  Source
		name string
	}{src, name})
}

func (c *caseLint) report(f *File) {
	want := strings.ToUpper
	if c.lower > c.upper {
		want = strings.ToLower
	}
	for _, o := range c.odd {
		if o.name != want(o.name) {
			f.warn(o.src, "ConsistentInstructionCasing", "instruction %q is not written as the others are (%s)", o.name, want(o.name))
		}
	}
}
