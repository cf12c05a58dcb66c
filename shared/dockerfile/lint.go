package dockerfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// quiet are the rules that a "check=skip=" comment turns off.
type quiet struct {
	all   bool
	rules []string
}

// Silences reports whether warnings of the rule are turned off here.
func (q quiet) Silences(rule string) bool { return q.all || slices.Contains(q.rules, rule) }

// commentQuiet reads the comments right above an instruction.
func commentQuiet(comments []string) quiet {
	for _, c := range comments {
		name, value, ok := strings.Cut(c, "=")
		if !ok || strings.TrimSpace(strings.ToLower(name)) != "check" {
			continue
		}
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
		if o, err := linter.ParseLintOptions(value); err == nil {
			return quiet{all: o.SkipAll, rules: o.SkipRules}
		}
	}
	return quiet{}
}

// checkDirective reads the "# check=" line of the file.
func (f *File) checkDirective(text []byte) (*linter.Config, error) {
	_, line, at, ok := parser.ParseDirective("check", text)
	o, err := linter.ParseLintOptions(line)
	if err != nil {
		where := Location{File: f.Name, Line: 1, Last: 1}
		if ok && len(at) > 0 {
			where.Line, where.Last = at[0].Start.Line, at[0].Start.Line
		}
		return nil, &Error{At: where, Err: err}
	}
	f.quiet = quiet{all: o.SkipAll, rules: o.SkipRules}
	f.Strict = o.ReturnAsError
	return o, nil
}

// warn notes a warning unless the file or the instruction turns its rule off.
func (f *File) warn(src Source, rule, format string, args ...any) {
	if !f.Silences(rule) && !src.Silences(rule) {
		f.Warnings = append(f.Warnings, Warning{At: src.At, Rule: rule, Text: fmt.Sprintf(format, args...)})
	}
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
// the rest: it counts names in small and in capital letters.
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
