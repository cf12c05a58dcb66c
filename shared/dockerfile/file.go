// Package dockerfile reads Dockerfiles: into stages of instructions, each with
// its place in the file. It expands variables in their words, and reads
// .dockerignore files.
//
// It owns the language, and keeps the parser that it uses to itself: that one's
// types do not leave the package. It refuses what the builder does not do, so
// that nothing written in a Dockerfile can be ignored. It does no I/O, and does
// not know what an instruction does to an image: that is package plan's.
package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// File is a Dockerfile.
type File struct {
	Name     string // as the user named it
	Text     []byte
	Syntax   string // what "# syntax=" says; the frontend is built in whatever it says
	Escape   rune   // '\\' or '`'
	Args     []*Arg // those before the first FROM
	Stages   []*Stage
	Warnings []Warning
	Strict   bool // "# check=error=true": warnings are errors
	quiet
}

// Stage is a FROM and what follows it.
type Stage struct {
	Source
	Index        int    // from 0
	Base         string // not expanded
	As           string // the name as written; empty without
	Platform     string // not expanded; empty without
	Instructions []Instruction
}

// Parse reads a Dockerfile. All of it is checked, also the stages that no target
// needs, and a fault is an [*Error]. name is for messages.
func Parse(name string, text []byte) (*File, error) { return parse(name, text, nil) }

// ParseChecked is [Parse] with options for the linter in place of those that the
// file's "# check=" line gives: "skip=RULE,RULE;error=true".
func ParseChecked(name string, text []byte, check string) (*File, error) {
	return parse(name, text, &check)
}

func parse(name string, text []byte, check *string) (*File, error) {
	f := &File{Name: name, Text: text}
	if err := checkText(name, text); err != nil {
		return nil, err
	}
	var err error
	if f.Syntax, err = checkSyntax(name, text); err != nil {
		return nil, err
	}
	if err := f.checkOptions(text, check); err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, located(name, err)
	}
	f.Escape = parsed.EscapeToken
	f.lintContinuations(parsed.Warnings)
	var casing caseLint
	for _, n := range parsed.AST.Children {
		if err := f.add(n); err != nil {
			return nil, err
		}
		if len(f.Stages) > 0 {
			casing.add(f.source(n), n.Value)
		}
	}
	if len(f.Stages) == 0 {
		return nil, &Error{
			At:     Location{File: name},
			Err:    errors.New("there is no FROM"),
			Advice: "begin with FROM and the name of an image, or FROM scratch",
		}
	}
	f.lintStages()
	casing.report(f)
	return f, nil
}

// checkText refuses bytes that the parser would replace: comments may hold them.
func checkText(name string, text []byte) error {
	if utf8.Valid(text) && !bytes.ContainsRune(text, 0) {
		return nil
	}
	line := 0
	for l := range bytes.Lines(text) {
		line++
		if !isText(string(l)) && !bytes.HasPrefix(bytes.TrimSpace(l), []byte("#")) {
			return &Error{At: Location{File: name, Line: line, Last: line}, Err: ErrNotText}
		}
	}
	return nil
}

func (f *File) at(ranges []parser.Range) Location {
	if len(ranges) == 0 {
		return Location{File: f.Name}
	}
	return Location{File: f.Name, Line: max(1, ranges[0].Start.Line), Last: max(1, ranges[len(ranges)-1].End.Line)}
}

func (f *File) source(n *parser.Node) Source {
	return Source{
		At:    Location{File: f.Name, Line: n.StartLine, Last: n.EndLine},
		Name:  strings.ToUpper(n.Value),
		Text:  strings.TrimSpace(n.Original),
		quiet: commentQuiet(n.PrevComment),
	}
}

// add takes in one instruction of the file.
func (f *File) add(n *parser.Node) error {
	src := f.source(n)
	parsed, err := parseNode(src, n)
	if err != nil {
		return err
	}
	f.lintNode(src, n)
	if from, ok := parsed.(*instructions.Stage); ok {
		f.Stages = append(f.Stages, &Stage{
			Source:   src,
			Index:    len(f.Stages),
			Base:     from.BaseName,
			As:       writtenName(n, from.Name),
			Platform: from.Platform,
		})
		return nil
	}
	in, err := convert(src, parsed)
	if err != nil {
		return err
	}
	if len(f.Stages) == 0 {
		arg, ok := in.(*Arg)
		if !ok {
			return &Error{
				At:     src.At,
				Err:    fmt.Errorf("%s stands before the first FROM", src.Name),
				Advice: "only ARG may stand there",
			}
		}
		f.Args = append(f.Args, arg)
		return nil
	}
	if ob, ok := in.(*Onbuild); ok {
		if _, err := ParseTrigger(ob.Trigger, ob.At); err != nil {
			f.warn(src, invalidTrigger, "the trigger will not build: %v", errors.Unwrap(err))
		}
	}
	stage := f.Stages[len(f.Stages)-1]
	stage.Instructions = append(stage.Instructions, in)
	return nil
}

// writtenName is a stage's name with its capitals, which the parser takes away.
func writtenName(n *parser.Node, lower string) string {
	for arg := n.Next; arg != nil; arg = arg.Next {
		if arg.Next == nil && strings.EqualFold(arg.Value, lower) {
			return arg.Value
		}
	}
	return lower
}

// parseNode judges the options and makes the parser's struct of a node.
func parseNode(src Source, n *parser.Node) (any, error) {
	if err := refuse(src, n.Flags, true); err != nil {
		return nil, err
	}
	parsed, err := instructions.ParseInstructionWithLinter(n, linter.New(&linter.Config{}))
	var unknown *instructions.UnknownInstructionError
	switch {
	case errors.As(err, &unknown):
		return nil, &Error{At: src.At, Err: err}
	case err != nil:
		return nil, fault(src.At, "%s: %w", src.Name, err)
	}
	if err := refuse(src, n.Flags, false); err != nil {
		return nil, err
	}
	return parsed, nil
}

// ParseTrigger reads the instruction that an ONBUILD keeps. at is where it takes
// effect: the FROM that names the image with the trigger.
func ParseTrigger(text string, at Location) (Instruction, error) {
	if !isText(text) {
		return nil, fault(at, "ONBUILD %q: %w", text, ErrNotText)
	}
	parsed, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, fault(at, "ONBUILD %s: %w", text, err)
	}
	if len(parsed.AST.Children) != 1 {
		return nil, fault(at, "ONBUILD %s: more than one instruction", text)
	}
	n := parsed.AST.Children[0]
	src := Source{At: at, Name: strings.ToUpper(n.Value), Text: "ONBUILD " + strings.TrimSpace(n.Original)}
	switch src.Name {
	case "FROM", "ONBUILD", "MAINTAINER":
		return nil, fault(at, "ONBUILD %s: %s cannot be a trigger", text, src.Name)
	}
	in, err := parseNode(src, n)
	if err != nil {
		return nil, inTrigger(at, err)
	}
	out, err := convert(src, in)
	if err != nil {
		return nil, inTrigger(at, err)
	}
	return out, nil
}

func inTrigger(at Location, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return fault(at, "ONBUILD: %w", err)
	}
	return &Error{At: at, Err: fmt.Errorf("ONBUILD: %w", e.Err), Advice: e.Advice}
}

// Find looks up a stage by name, in any case, or by its number. Of several with
// one name the last before the stage number before is found; if there is none,
// the first after it, so that a reference ahead can be told from an image.
func (f *File) Find(name string, before int) (*Stage, bool) {
	var found *Stage
	for _, s := range f.Stages {
		if s.As == "" || !strings.EqualFold(s.As, name) {
			continue
		}
		if s.Index < before || found == nil {
			found = s
		}
	}
	if found != nil {
		return found, true
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < len(f.Stages) {
		return f.Stages[n], true
	}
	return nil, false
}
