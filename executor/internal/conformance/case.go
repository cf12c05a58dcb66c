//go:build linux

package conformance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// A Case is a Dockerfile, what it is built from, and what must come out.
type Case struct {
	Name    string // the file's, without .txtar
	File    string
	Comment string

	Args    []Arg
	Env     []string // K=V
	Want    Want
	Differs []Differ
	Needs   []string

	archive *txtar.Archive
	bases   []part
	repos   []part
	trees   []part
	files   []part
	http    map[string]httpMeta
}

type part struct {
	name  string
	text  []byte
	lines []line
}

// Arg is an argument in the executor's spelling; Value is empty for a flag without one.
type Arg struct{ Flag, Value string }

// Want is what a case wants. Parts that are not there want nothing.
type Want struct {
	Tree    *string
	Config  *string
	History *string
	Output  []string // lines
	// Error is what the build must fail with, by the driver or empty for all.
	Error map[string]*Failure
}

// Failure is how a build must fail.
type Failure struct {
	Pattern *regexp.Regexp
	Exit    int
}

// A Differ is an explained difference between what is wanted and what another
// builder does.
type Differ struct {
	Builder string // buildkit or buildah
	// Verb is "differs", "fails" (the builder cannot), "builds" (where the executor
	// must fail) or "skip" (not to be run).
	Verb string
	treediff.Explanation
}

// Load reads all cases of a directory whose names match the pattern, in order.
func Load(dir string, match *regexp.Regexp) ([]*Case, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, err
	}
	var all []*Case
	var wrong []error
	for _, name := range names {
		if match != nil && !match.MatchString(strings.TrimSuffix(filepath.Base(name), ".txtar")) {
			continue
		}
		c, err := Read(name)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		all = append(all, c)
	}
	return all, errors.Join(wrong...)
}

// Read reads a case. An error names the file and the part.
func Read(name string) (*Case, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	c, err := parse(txtar.Parse(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.File = name
	c.Name = strings.TrimSuffix(filepath.Base(name), ".txtar")
	if !regexp.MustCompile(`^([0-9]{3}[a-z]?|lang|kaniko)-[a-z0-9-]+$`).MatchString(c.Name) {
		return nil, fmt.Errorf("%s: a case is called NNN-what or NNNa-what after its trap, lang-what or kaniko-what", name)
	}
	return c, nil
}

func parse(a *txtar.Archive) (*Case, error) {
	c := &Case{archive: a, Comment: strings.TrimSpace(string(a.Comment)), http: map[string]httpMeta{}}
	c.Want.Error = map[string]*Failure{}
	if c.Comment == "" {
		return nil, errors.New("the comment must say what the case shows")
	}
	for i, f := range a.Files {
		if slices.ContainsFunc(a.Files[:i], func(g txtar.File) bool { return g.Name == f.Name }) {
			return nil, fmt.Errorf("%s is there twice", f.Name)
		}
		if err := c.take(f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return c, nil
}

// take reads one part.
func (c *Case) take(f txtar.File) (err error) {
	text := string(f.Data)
	kind, rest, _ := strings.Cut(f.Name, "/")
	switch {
	case kind == "want":
		return c.takeWant(rest, text)
	case f.Name == "args":
		c.Args, err = parseArgs(text)
	case f.Name == "env":
		for _, l := range contentLines(text) {
			if !strings.Contains(l, "=") {
				return fmt.Errorf("%q is no NAME=VALUE", l)
			}
			c.Env = append(c.Env, l)
		}
	case f.Name == "needs":
		c.Needs = strings.Fields(text)
		for _, n := range c.Needs {
			if n != "namespaces" && n != "root" {
				return fmt.Errorf("unknown condition %q", n)
			}
		}
	case f.Name == "differs":
		for _, l := range contentLines(text) {
			d, err := parseDiffer(l)
			if err != nil {
				return err
			}
			c.Differs = append(c.Differs, d)
		}
	case f.Name == "http.meta":
		return c.takeMeta(text)
	case kind == "base" && rest != "":
		return keepLines(&c.bases, rest, f.Data)
	case kind == "git" && rest != "":
		return keepLines(&c.repos, strings.TrimSuffix(rest, ".git"), f.Data)
	case strings.HasSuffix(f.Name, ".tree"):
		return keepLines(&c.trees, strings.TrimSuffix(f.Name, ".tree"), f.Data)
	default:
		if !filepath.IsLocal(f.Name) {
			return errors.New("leads out of the case's directory")
		}
		c.files = append(c.files, part{name: f.Name, text: f.Data})
	}
	return err
}

func keepLines(to *[]part, name string, text []byte) error {
	lines, err := parseLines(string(text))
	*to = append(*to, part{name: name, text: text, lines: lines})
	return err
}

func (c *Case) takeWant(name, text string) error {
	switch {
	case name == "tree":
		c.Want.Tree = &text
	case name == "config.json":
		c.Want.Config = &text
	case name == "history":
		c.Want.History = &text
	case name == "output":
		c.Want.Output = contentLines(text)
	case name == "error" || strings.HasPrefix(name, "error."):
		f, err := parseFailure(text)
		if err != nil {
			return err
		}
		c.Want.Error[strings.TrimPrefix(strings.TrimPrefix(name, "error"), ".")] = f
	default:
		return errors.New("unknown part")
	}
	return nil
}

// parseFailure reads a regular expression and, in a line of its own, "exit N".
func parseFailure(text string) (*Failure, error) {
	lines := contentLines(text)
	if len(lines) != 2 {
		return nil, errors.New(`want a line with a regular expression and a line "exit N"`)
	}
	pattern, err := regexp.Compile(lines[0])
	if err != nil {
		return nil, err
	}
	number, ok := strings.CutPrefix(lines[1], "exit ")
	exit, err := strconv.Atoi(number)
	if !ok || err != nil || exit == 0 {
		return nil, fmt.Errorf(`%q: want "exit N"`, lines[1])
	}
	return &Failure{pattern, exit}, nil
}

func parseDiffer(l string) (Differ, error) {
	builder, rest, _ := strings.Cut(l, " ")
	if builder != BuildKit && builder != Buildah {
		return Differ{}, fmt.Errorf("%q: the builder is buildkit or buildah", l)
	}
	verb, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
	switch verb {
	case "fails", "builds", "skip":
		reason = strings.TrimSpace(reason)
		if reason == "" {
			return Differ{}, fmt.Errorf("%q: why?", l)
		}
		return Differ{builder, verb, treediff.Explanation{Reason: reason}}, nil
	}
	x, err := treediff.ParseExplanation(rest)
	return Differ{builder, "differs", x}, err
}

// ReadDiffers reads explanations that hold for all cases, a line each as in a
// case's part differs.
func ReadDiffers(name string) ([]Differ, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var out []Differ
	for _, l := range contentLines(string(data)) {
		d, err := parseDiffer(l)
		if err == nil && d.Verb != "differs" {
			err = fmt.Errorf("%q is not for all cases", l)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, d)
	}
	return out, nil
}

// The builders that the executor is compared with.
const (
	BuildKit = "buildkit"
	Buildah  = "buildah"
)

// WantsNothing reports whether no build could disappoint the case: the oracle has
// not written yet what it wants.
func (c *Case) WantsNothing() bool {
	return c.Want.Tree == nil && c.Want.Config == nil && len(c.Want.Error) == 0
}

// Fails is how a build by this driver must fail; nil if it must succeed.
func (c *Case) Fails(driver string) *Failure {
	if f, ok := c.Want.Error[driver]; ok {
		return f
	}
	return c.Want.Error[""]
}

// NeedsSomething reports whether the case has a condition.
func (c *Case) NeedsSomething(condition string) bool { return slices.Contains(c.Needs, condition) }

// Runs reports whether a build of the case may run a command. It errs on the safe
// side: the word alone suffices.
func (c *Case) Runs() bool {
	pattern := regexp.MustCompile(`(?i)\bRUN\b`)
	for _, list := range [][]part{c.files, c.bases, c.repos} {
		for _, p := range list {
			if pattern.Match(p.text) {
				return true
			}
		}
	}
	return false
}

// parseArgs reads a flag a line, as --flag=value or --flag value.
func parseArgs(text string) ([]Arg, error) {
	var out []Arg
	for _, l := range contentLines(text) {
		if !strings.HasPrefix(l, "--") {
			return nil, fmt.Errorf("%q is no --flag", l)
		}
		i := strings.IndexAny(l, " =")
		if i < 0 {
			out = append(out, Arg{Flag: l})
			continue
		}
		out = append(out, Arg{l[:i], strings.TrimLeft(l[i+1:], " ")})
	}
	return out, nil
}

// contentLines are the lines that are neither empty nor comments.
func contentLines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		l = strings.TrimRight(l, "\r\n")
		if strings.TrimSpace(l) != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return out
}
