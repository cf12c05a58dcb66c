//go:build linux

package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// rootFS reads the list of layers of a configuration.
func rootFS(raw []byte) ([]v1.Hash, error) {
	var c struct {
		RootFS struct {
			DiffIDs []v1.Hash `json:"diff_ids"`
		} `json:"rootfs"`
	}
	err := json.Unmarshal(raw, &c)
	return c.RootFS.DiffIDs, err
}

// Made is what a builder made, in the form of wants.
type Made struct {
	Tree    []string // lines, in the order of their paths
	Config  map[string]any
	History []string
	strict  map[string]string // by path, the line with all contents as digests
}

// Describe puts an image into the form of wants: what differs from its base. start
// is when the build began: what is no older has the time "now".
func (b *Built) Describe(img v1.Image, start time.Time) (*Made, error) {
	base, err := b.BaseOf(img)
	if err != nil {
		return nil, err
	}
	m := &Made{strict: map[string]string{}}
	if err := m.trees(base, img, start); err != nil {
		return nil, err
	}
	return m, m.configs(b, base, img)
}

func (m *Made) trees(base, img v1.Image, start time.Time) error {
	old, err := flatten(base)
	if err != nil {
		return fmt.Errorf("flatten the base: %w", err)
	}
	tree, err := flatten(img)
	if err != nil {
		return fmt.Errorf("flatten the image: %w", err)
	}
	for _, a := range tree.Anomalies {
		m.add(a, "anomaly "+strconv.Quote(a), "anomaly "+strconv.Quote(a))
	}
	clock := Since(start)
	was := map[string]string{}
	for e := range old.Entries() {
		was[e.Path] = entryLine(e, treediff.Exact, true)
	}
	for e := range tree.Entries() {
		if was[e.Path] != entryLine(e, treediff.Exact, true) {
			m.add(e.Path, entryLine(e, clock, false), entryLine(e, clock, true))
		}
		delete(was, e.Path)
	}
	// Of what is gone, only the uppermost is said.
	for _, p := range sortedNames(was) {
		parent := p[:strings.LastIndexByte(p, '/')]
		if _, gone := was[parent]; !gone || parent == "" {
			m.add(p, "- "+word(p), "- "+word(p))
		}
	}
	slices.SortStableFunc(m.Tree, func(a, b string) int { return strings.Compare(linePath(a), linePath(b)) })
	return nil
}

func (m *Made) add(path, line, strict string) {
	m.Tree = append(m.Tree, line)
	m.strict[path] = strict
}

// linePath is the path that a line of a tree is about.
func linePath(l string) string {
	w, err := words(l)
	if err != nil || len(w) < 2 {
		return l
	}
	return w[1]
}

// Since is the clock of cases: what is at or after start is "now".
func Since(start time.Time) treediff.Clock {
	return func(t time.Time) string {
		if !t.Before(start.Truncate(time.Second)) {
			return "now"
		}
		return formatTime(t)
	}
}

// entryLine is the line for what stands at a path. What goes without saying is left
// out: mode 0644 of files and 0755 of directories, owner 0:0, the time "now".
func entryLine(e treediff.Entry, clock treediff.Clock, strict bool) string {
	if e.Names > 1 && e.First != e.Path {
		return "link " + word(e.Path) + " to=" + word(e.First)
	}
	var s strings.Builder
	s.WriteString(e.Kind + " " + word(e.Path))
	usual := int64(0o644)
	switch e.Kind {
	case "dir":
		usual = 0o755
	case "symlink":
		usual = 0
		s.WriteString(" to=" + word(e.Link))
	case "char", "block":
		fmt.Fprintf(&s, " dev=%d:%d", e.Major, e.Minor)
	}
	if e.Mode != usual {
		fmt.Fprintf(&s, " mode=%04o", e.Mode)
	}
	if e.UID != 0 || e.GID != 0 {
		fmt.Fprintf(&s, " owner=%d:%d", e.UID, e.GID)
	}
	if at := clock(e.MTime); at != "now" {
		s.WriteString(" mtime=" + at)
	}
	for _, name := range sortedNames(e.Xattrs) {
		s.WriteString(" xattr:" + name + "=" + strconv.Quote(e.Xattrs[name]))
	}
	if e.Kind == "file" {
		if e.Size <= maxText && !strict {
			s.WriteString(" text=" + strconv.Quote(string(e.Text)))
		} else {
			fmt.Fprintf(&s, " size=%d sha256=%s", e.Size, e.Digest)
		}
	}
	return s.String()
}

func (m *Made) configs(b *Built, base, img v1.Image) error {
	old, err := treediff.ReadConfig(base)
	if err != nil {
		return err
	}
	c, err := treediff.ReadConfig(img)
	if err != nil {
		return err
	}
	if len(old.Fields) == 0 { // scratch
		old.Fields = map[string]any{"architecture": "amd64", "os": "linux"}
	}
	m.Config = map[string]any{}
	for name, value := range c.Fields {
		if !reflect.DeepEqual(value, old.Fields[name]) {
			m.Config[name] = value
		}
	}
	for name := range old.Fields {
		if _, ok := c.Fields[name]; !ok {
			m.Config[name] = nil
		}
	}
	for _, h := range Plain(c.History)[min(len(old.History), len(c.History)):] {
		empty := ""
		if h.EmptyLayer {
			empty = "(empty) "
		}
		m.History = append(m.History, b.Collapse(empty+h.CreatedBy))
	}
	return nil
}

// Plain takes BuildKit's signature off a history.
func Plain(steps []treediff.Step) []treediff.Step {
	out := slices.Clone(steps)
	for i := range out {
		out[i].CreatedBy = strings.TrimSuffix(out[i].CreatedBy, " # buildkit")
	}
	return out
}

// ConfigText is the configuration as want/config.json has it.
func (m *Made) ConfigText() (string, error) {
	raw, err := json.Marshal(m.Config)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	b.WriteString("{")
	for i, name := range sortedNames(m.Config) {
		if i > 0 {
			b.WriteString(",")
		}
		value, err := marshalPlain(m.Config[name])
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "\n\t%q: %s", name, value)
	}
	if len(m.Config) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("}\n")
	if !json.Valid(b.Bytes()) {
		return "", fmt.Errorf("%s is no JSON", raw)
	}
	return b.String(), nil
}

// marshalPlain is JSON without escapes for HTML.
func marshalPlain(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSpace(b.String()), err
}

// Check compares what was made with what is wanted, and returns a line for each
// difference.
func (c *Case) Check(m *Made) ([]string, error) {
	var out []string
	if c.Want.Tree != nil {
		lines, err := m.checkTree(*c.Want.Tree)
		if err != nil {
			return nil, fmt.Errorf("want/tree: %w", err)
		}
		out = append(out, lines...)
	}
	if c.Want.Config != nil {
		lines, err := m.checkConfig(*c.Want.Config)
		if err != nil {
			return nil, fmt.Errorf("want/config.json: %w", err)
		}
		out = append(out, lines...)
	}
	if c.Want.History != nil {
		if want := contentLines(*c.Want.History); !slices.Equal(want, m.History) {
			out = append(out, fmt.Sprintf("history: want %q, got %q", want, m.History))
		}
	}
	return out, nil
}

func (m *Made) checkTree(text string) ([]string, error) {
	want := map[string]string{}
	said := map[string]string{}
	for _, l := range contentLines(text) {
		path, strict, err := canonical(l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l, err)
		}
		if _, twice := want[path]; twice {
			return nil, fmt.Errorf("%s is there twice", path)
		}
		want[path], said[path] = strict, strings.TrimSpace(l)
	}
	got := map[string]string{}
	for _, l := range m.Tree {
		got[linePath(l)] = l
	}
	var out []string
	for _, p := range sortedNames(want) {
		if want[p] != m.strict[p] {
			out = append(out, "want "+said[p])
			if g, ok := got[p]; ok {
				out = append(out, "got  "+g)
			}
		}
	}
	for _, p := range sortedNames(m.strict) {
		if _, ok := want[p]; !ok {
			out = append(out, "got  "+got[p]+" (not wanted)")
		}
	}
	return out, nil
}

// canonical reads a line of a wanted tree and writes it as entryLine does.
func canonical(l string) (path, strict string, err error) {
	w, err := words(l)
	if err != nil {
		return "", "", err
	}
	if w[0] == "-" && len(w) == 2 {
		return w[1], "- " + word(w[1]), nil
	}
	if w[0] == "anomaly" && len(w) == 2 {
		return w[1], "anomaly " + strconv.Quote(w[1]), nil
	}
	parsed, err := parseWords(w)
	if err != nil {
		return "", "", err
	}
	n, err := parsed.node()
	if err != nil {
		return "", "", err
	}
	e := treediff.Entry{
		Path: n.path, Kind: n.kind, Mode: n.mode, UID: n.uid, GID: n.gid, Link: n.to, Major: n.dev[0], Minor: n.dev[1], Xattrs: n.xattrs,
	}
	if n.kind == "link" {
		return n.path, "link " + word(n.path) + " to=" + word(n.to), nil
	}
	if e.Kind == "file" {
		e.Size, e.Digest = n.content.size, n.sha256
		if n.sha256 == "" {
			if e.Digest, err = n.content.digest(); err != nil {
				return "", "", err
			}
		}
	}
	at := "now"
	if !n.mtime.IsZero() {
		at = formatTime(n.mtime)
	}
	return n.path, entryLine(e, func(time.Time) string { return at }, true), nil
}

func (m *Made) checkConfig(text string) ([]string, error) {
	want, err := decodeConfig(text)
	if err != nil {
		return nil, err
	}
	var out []string
	all := map[string]bool{}
	for n := range want {
		all[n] = true
	}
	for n := range m.Config {
		all[n] = true
	}
	for _, n := range sortedNames(all) {
		w, wok := want[n]
		g, gok := m.Config[n]
		if wok == gok && reflect.DeepEqual(w, g) {
			continue
		}
		out = append(out, fmt.Sprintf("config %s: want %s, got %s", n, shown(w, wok), shown(g, gok)))
	}
	return out, nil
}

func decodeConfig(text string) (map[string]any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var want map[string]any
	err := d.Decode(&want)
	return want, err
}

func shown(v any, ok bool) string {
	if !ok {
		return "that of the base"
	}
	s, err := marshalPlain(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return s
}
