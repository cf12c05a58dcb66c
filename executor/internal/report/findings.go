package report

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// Findings is what the linter says of a Dockerfile.
type Findings struct {
	File     string // path of the Dockerfile, absolute or from the working directory
	Warnings []dockerfile.Warning
	// Strict says that warnings are errors, but for notes.
	Strict bool
	// Fault is why the Dockerfile cannot be built; nil if nothing is known.
	Fault error
	// Version is the program's.
	Version string
}

// faultRule is the name that a fault has beside the names of rules.
const faultRule = "DockerfileError"

// help is where the page with the rules is.
const help = "https://github.com/kaniko-suite/kaniko/blob/main/docs/lint.md"

// levels are SARIF's.
type level string

const (
	levelError   level = "error"
	levelWarning level = "warning"
	levelNote    level = "note"
)

// finding is one line of the report.
type finding struct {
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`
	LastLine int    `json:"lastLine,omitempty"`
	Rule     string `json:"rule"`
	Level    level  `json:"level"`
	Text     string `json:"text"`
	Hint     string `json:"hint,omitempty"`
	Help     string `json:"help"`
}

// Warned is how many warnings there are, notes left out.
func (f Findings) Warned() int {
	n := 0
	for _, w := range f.Warnings {
		if !w.IsNote() {
			n++
		}
	}
	return n
}

// Write writes the findings in a format.
func (f Findings) Write(w io.Writer, format Format) error {
	switch format {
	case JSON:
		return writeJSON(w, struct {
			Findings []finding `json:"findings"`
		}{f.list()})
	case SARIF:
		return writeJSON(w, f.sarif())
	}
	for _, l := range f.list() {
		place := l.File
		if l.Line > 0 {
			place = fmt.Sprintf("%s:%d", l.File, l.Line)
		}
		if _, err := fmt.Fprintf(w, "%s: %s: %s\n", line(place), l.Rule, line(l.Text)); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// list is never nil: JSON would write null.
func (f Findings) list() []finding {
	list := []finding{}
	for _, w := range f.Warnings {
		l := finding{File: f.File, Line: w.At.Line, LastLine: w.At.Last, Rule: w.Rule, Level: levelWarning, Text: w.Text, Help: helpFor(w.Rule)}
		switch {
		case w.IsNote():
			l.Level = levelNote
		case f.Strict:
			l.Level = levelError
		}
		list = append(list, l)
	}
	if f.Fault != nil {
		list = append(list, f.fault())
	}
	return list
}

func (f Findings) fault() finding {
	l := finding{File: f.File, Rule: faultRule, Level: levelError, Text: f.Fault.Error(), Help: helpFor(faultRule)}
	var e *dockerfile.Error
	if errors.As(f.Fault, &e) {
		l.Line, l.LastLine = e.At.Line, e.At.Last
		l.Text = e.Err.Error()
	}
	var hinter interface{ Hint() string }
	if errors.As(f.Fault, &hinter) {
		l.Hint = hinter.Hint()
	}
	return l
}

func helpFor(rule string) string { return help + "#" + strings.ToLower(rule) }

// The parts of SARIF 2.1.0 (an OASIS standard) that are written.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID                   string             `json:"id"`
		ShortDescription     sarifText          `json:"shortDescription"`
		HelpURI              string             `json:"helpUri"`
		DefaultConfiguration sarifConfiguration `json:"defaultConfiguration"`
	}
	sarifConfiguration struct {
		Enabled bool  `json:"enabled"`
		Level   level `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     level           `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
		EndLine   int `json:"endLine"`
	}
)

func (f Findings) sarif() sarifLog {
	rules, index := sarifRules()
	run := sarifRun{
		Tool:    sarifTool{sarifDriver{Name: "kaniko executor", Version: f.Version, InformationURI: help, Rules: rules}},
		Results: []sarifResult{},
	}
	for _, l := range f.list() {
		place := sarifPhysical{Artifact: sarifArtifact{fileURI(l.File)}}
		if l.Line > 0 {
			place.Region = &sarifRegion{l.Line, max(l.Line, l.LastLine)}
		}
		text := l.Text
		if l.Hint != "" {
			text += " (" + l.Hint + ")"
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: l.Rule, RuleIndex: index[l.Rule], Level: l.Level,
			Message: sarifText{text}, Locations: []sarifLocation{{place}},
		})
	}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

// sarifRules are all rules, and where each is among them.
func sarifRules() ([]sarifRule, map[string]int) {
	index := map[string]int{}
	var rules []sarifRule
	add := func(name, summary string, enabled bool, l level) {
		index[name] = len(rules)
		rules = append(rules, sarifRule{name, sarifText{summary}, helpFor(name), sarifConfiguration{enabled, l}})
	}
	for _, r := range dockerfile.Rules() {
		l := levelWarning
		if r.Note {
			l = levelNote
		}
		add(r.Name, r.Summary, !r.Experimental, l)
	}
	add(faultRule, "The Dockerfile cannot be built.", true, levelError)
	return rules, index
}

// fileURI is a path as a URI, relative if the path is.
func fileURI(path string) string {
	path = filepath.ToSlash(path)
	u := url.URL{Path: path}
	if strings.HasPrefix(path, "/") {
		u.Scheme = "file"
	}
	return u.String()
}
