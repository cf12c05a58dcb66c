package compare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Rule says which differences do not count, and why.
type Rule struct {
	// Path is a pattern of paths: * and ? within a name, ** for any number of names.
	// Empty matches whatever has or has not a path.
	Path string `yaml:"path"`
	// Layer is the number of a layer of either side, from 1; 0 is any.
	Layer int `yaml:"layer"`
	// Fields are patterns of fields, in which * is any text; none matches all fields.
	Fields []string `yaml:"fields"`
	// Reason is why; it must be there.
	Reason string `yaml:"reason"`

	level   Level // with bounded, the only one that is meant
	bounded bool
	attest  bool // only attestations are meant
}

// The presets.
const (
	Strict   = "strict"   // everything counts
	Semantic = "semantic" // what a container does not notice does not count
	ByFiles  = "content"  // nothing counts but files' types, links and contents, and what is run
)

// Presets are the names that [PresetRules] knows.
func Presets() []string { return []string{Strict, Semantic, ByFiles} }

// PresetRules are the rules of a preset.
func PresetRules(preset string) ([]Rule, error) {
	semantic := []Rule{
		{Fields: []string{"mtime"}, Reason: "semantic: times of files"},
		{Fields: []string{"created"}, Reason: "semantic: the image's date"},
		{Fields: []string{"history", "history.*"}, Reason: "semantic: the history tells, it does nothing"},
		{Fields: []string{"order"}, level: Files, bounded: true, Reason: "semantic: the order of entries"},
		{Fields: []string{"format", "name", "archive", "pax.*"}, Reason: "semantic: the form of an archive"},
		{Path: globalName, Reason: "semantic: the form of an archive"},
		{Fields: []string{"form"}, Reason: "semantic: the form of JSON"},
		{Fields: []string{"uname", "gname"}, Reason: "semantic: names of owners, whose numbers are what counts"},
		{Fields: []string{"recompressed", "compression"}, Reason: "semantic: how layers are compressed"},
		{
			Fields: []string{"annotation.org.opencontainers.image.ref.name", "annotation.io.containerd.image.name", "annotation.org.opencontainers.image.created"},
			Reason: "semantic: the image's name and date",
		},
		{Path: "/.prefetch.landmark", Reason: "semantic: a mark of eStargz"},
		{Path: "/.no.prefetch.landmark", Reason: "semantic: a mark of eStargz"},
		{Path: "/stargz.index.json", Reason: "semantic: the index of eStargz"},
	}
	switch preset {
	case Strict:
		return nil, nil
	case Semantic:
		return semantic, nil
	case ByFiles:
		return append(semantic,
			Rule{Fields: []string{"mode", "uid", "gid"}, Reason: "content: owners and permissions"},
			Rule{Fields: []string{"mediaType", "config.mediaType", "annotation.*", "artifactType", "subject"}, level: Manifest, bounded: true, Reason: "content: manifests"},
			Rule{attest: true, Reason: "content: statements about the image"},
		), nil
	}
	return nil, fmt.Errorf("%q is no preset: it must be one of %s", preset, strings.Join(Presets(), ", "))
}

// maxRules bounds a file of rules, in bytes.
const maxRules = 1 << 20

// RulesError says that a file of rules cannot be taken.
type RulesError struct {
	Name string
	Err  error
}

// Error implements error.
func (e *RulesError) Error() string { return "read rules from " + e.Name + ": " + e.Err.Error() }

// Unwrap is why.
func (e *RulesError) Unwrap() error { return e.Err }

// Hint says what a rule looks like.
func (e *RulesError) Hint() string {
	return `a rule is: {path: "/var/log/**", layer: 2, fields: [mtime, content], reason: "why"}; all but the reason may be left out, but not all at once`
}

// ReadRules reads YAML: a list of rules, or a map with the list as "rules". name is
// the file's, for errors, which are [RulesError].
func ReadRules(name string, r io.Reader) ([]Rule, error) {
	rules, err := readRules(r)
	if err != nil {
		return nil, &RulesError{name, err}
	}
	return rules, nil
}

func readRules(r io.Reader) ([]Rule, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxRules+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxRules {
		return nil, fmt.Errorf("they are longer than %d bytes", maxRules)
	}
	var file struct {
		Rules []Rule `yaml:"rules"`
	}
	var node yaml.Node
	if err := yaml.Unmarshal(raw, &node); err != nil {
		return nil, err
	}
	if len(node.Content) > 0 && node.Content[0].Kind == yaml.SequenceNode {
		err = decode(raw, &file.Rules)
	} else {
		err = decode(raw, &file)
	}
	if err != nil {
		return nil, err
	}
	for i, rule := range file.Rules {
		if err := rule.check(); err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return file.Rules, nil
}

func decode(raw []byte, to any) error {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(to); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (r Rule) check() error {
	switch {
	case strings.TrimSpace(r.Reason) == "":
		return errors.New("it has no reason")
	case r.Path == "" && r.Layer == 0 && len(r.Fields) == 0:
		return errors.New("it would ignore everything: it has no path, no layer and no fields")
	case r.Layer < 0:
		return fmt.Errorf("there is no layer %d: they are counted from 1", r.Layer)
	}
	for _, pattern := range append(strings.Split(r.Path, "/"), r.Fields...) {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%q: %w", pattern, err)
		}
	}
	return nil
}

// String is the rule in a line.
func (r Rule) String() string {
	var parts []string
	if r.Path != "" {
		parts = append(parts, r.Path)
	}
	if r.Layer != 0 {
		parts = append(parts, fmt.Sprintf("layer %d", r.Layer))
	}
	if len(r.Fields) > 0 {
		parts = append(parts, strings.Join(r.Fields, ","))
	}
	return strings.Join(append(parts, "("+r.Reason+")"), " ")
}

// covers reports whether the rule takes d away.
func (r Rule) covers(d Difference, attestation bool) bool {
	switch {
	case r.attest && !attestation, r.bounded && d.Level != r.level:
		return false
	case r.Layer != 0 && r.Layer != d.LayerA && r.Layer != d.LayerB:
		return false
	case r.Path != "" && !matchPath(strings.Split(r.Path, "/"), strings.Split(d.Path, "/")):
		return false
	}
	return len(r.Fields) == 0 || slices.ContainsFunc(r.Fields, func(f string) bool { return matchField(f, d.Field) })
}

func matchPath(pattern, names []string) bool {
	for len(pattern) > 0 && pattern[0] != "**" {
		if len(names) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], names[0]); err != nil || !ok {
			return false
		}
		pattern, names = pattern[1:], names[1:]
	}
	if len(pattern) == 0 {
		return len(names) == 0
	}
	for i := range len(names) + 1 {
		if matchPath(pattern[1:], names[i:]) {
			return true
		}
	}
	return false
}

// matchField matches where * stands for any text, slashes too: labels have them.
func matchField(pattern, field string) bool {
	first, rest, starred := strings.Cut(pattern, "*")
	if !starred {
		return pattern == field
	}
	field, ok := strings.CutPrefix(field, first)
	if !ok {
		return false
	}
	for i := range len(field) + 1 {
		if matchField(rest, field[i:]) {
			return true
		}
	}
	return false
}

// ignore marks what the rules take away, and counts per rule.
func ignore(all []Difference, rules []Rule, counts []int, attestation bool) {
	for i := range all {
		for n, rule := range rules {
			if rule.covers(all[i], attestation) {
				all[i].Ignored = rule.Reason
				counts[n]++
				break
			}
		}
	}
}
