package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// configuration is an image's, as far as it is compared.
type configuration struct {
	fields  map[string]any // of the file and of what is run, under their names in JSON
	history []entry
	diffIDs []v1.Hash
}

// entry is one of a history.
type entry struct {
	Created    string `json:"created"`
	CreatedBy  string `json:"created_by"`
	Author     string `json:"author"`
	Comment    string `json:"comment"`
	EmptyLayer bool   `json:"empty_layer"`
}

func readConfig(i *image) (*configuration, error) {
	raw, err := i.img.RawConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration of %s: %w", i.name, err)
	}
	i.config = raw
	c := &configuration{fields: map[string]any{}}
	if err := c.parse(raw); err != nil {
		// A statement's or another artifact's may be anything: it is one field then.
		if i.manifest.Config.MediaType.IsConfig() {
			return nil, fmt.Errorf("read the configuration of %s: %w", i.name, err)
		}
		c.fields = map[string]any{"config": string(raw)}
	}
	return c, nil
}

func (c *configuration) parse(raw []byte) error {
	known, err := treediff.ParseConfig(raw)
	if err != nil {
		return err
	}
	c.fields = known.Fields
	var file map[string]json.RawMessage
	if err := json.Unmarshal(raw, &file); err != nil {
		return err
	}
	for name, value := range file {
		switch name {
		case "config":
		case "history":
			if err := json.Unmarshal(value, &c.history); err != nil {
				return err
			}
		case "rootfs":
			var fs v1.RootFS
			if err := json.Unmarshal(value, &fs); err != nil {
				return err
			}
			c.diffIDs = fs.DiffIDs
			if fs.Type != "layers" {
				c.fields["rootfs.type"] = fs.Type
			}
		default:
			d := json.NewDecoder(bytes.NewReader(value))
			d.UseNumber()
			var v any
			if err := d.Decode(&v); err != nil {
				return err
			}
			if v != nil {
				c.fields[name] = v
			}
		}
	}
	return nil
}

// configs compares two configurations, and learns from them what is in the layers.
func (p *pairing) configs(ctx context.Context) error {
	_, done := p.entered(ctx, Config, p.platform)
	defer done()
	a, err := readConfig(p.a)
	if err != nil {
		return err
	}
	b, err := readConfig(p.b)
	if err != nil {
		return err
	}
	p.a.know(a)
	p.b.know(b)
	p.pairs = p.pairLayers()
	if bytes.Equal(p.a.config, p.b.config) {
		return nil
	}
	p.fields(a.fields, b.fields)
	p.histories(a.history, b.history)
	return nil
}

// know takes from a configuration what it says of the layers.
func (i *image) know(c *configuration) {
	if len(c.diffIDs) == len(i.layers) {
		for n, id := range c.diffIDs {
			i.layers[n].diffID = id
		}
	}
	for n, at := range layerEntries(c.history, len(i.layers)) {
		i.layers[n].createdBy = c.history[at].CreatedBy
	}
}

// layerEntries are the positions in a history of the entries that made layers; nil if
// it does not have as many as there are.
func layerEntries(history []entry, layers int) []int {
	var all []int
	for at, e := range history {
		if !e.EmptyLayer {
			all = append(all, at)
		}
	}
	if len(all) != layers {
		return nil
	}
	return all
}

func (p *pairing) fields(a, b map[string]any) {
	for _, name := range keys(a, b) {
		x, y := a[name], b[name]
		if compact(x) == compact(y) {
			continue
		}
		switch name {
		case "Env":
			p.env(texts(x), texts(y))
		case "Labels":
			p.members("label.", x, y)
		case "ExposedPorts":
			p.members("port.", x, y)
		case "Volumes":
			p.members("volume.", x, y)
		default:
			p.found(Difference{Level: Config, Path: "config", Field: strings.ToLower(name[:1]) + name[1:], A: compact(x), B: compact(y)})
		}
	}
}

// env compares variables by name; where all are the same their order differs, or a
// name is there twice.
func (p *pairing) env(a, b []string) {
	x, y := variables(a), variables(b)
	same := true
	for _, name := range keys(x, y) {
		if shown(x, name) != shown(y, name) {
			same = false
			p.found(Difference{Level: Config, Path: "config", Field: "env." + name, A: shown(x, name), B: shown(y, name)})
		}
	}
	if same {
		p.found(Difference{Level: Config, Path: "config", Field: "env", A: strings.Join(a, " "), B: strings.Join(b, " ")})
	}
}

func variables(all []string) map[string]string {
	m := map[string]string{}
	for _, v := range all {
		name, value, _ := strings.Cut(v, "=")
		m[name] = value
	}
	return m
}

func texts(v any) []string {
	list, _ := v.([]any)
	var all []string
	for _, e := range list {
		text, ok := e.(string)
		if !ok {
			text = compact(e)
		}
		all = append(all, text)
	}
	return all
}

// members compares the members of two JSON objects.
func (p *pairing) members(prefix string, a, b any) {
	x, _ := a.(map[string]any)
	y, _ := b.(map[string]any)
	for _, name := range keys(x, y) {
		if compact(x[name]) != compact(y[name]) {
			p.found(Difference{Level: Config, Path: "config", Field: prefix + name, A: compact(x[name]), B: compact(y[name])})
		}
	}
}

// compact is a value in a line: text as it is, everything else as JSON.
func compact(v any) string {
	switch v := v.(type) {
	case nil:
		return none
	case string:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// histories compares two histories entry by entry. The entry of a layer that only one
// side has follows from the layer, where layers are compared.
func (p *pairing) histories(a, b []entry) {
	layersA, layersB := layerEntries(a, len(p.a.layers)), layerEntries(b, len(p.b.layers))
	with := map[alignment]bool{}
	alone := [2]map[int]bool{{}, {}}
	for _, pair := range p.pairs {
		switch {
		case pair.same() && layersA != nil && layersB != nil:
			with[alignment{layersA[pair.a], layersB[pair.b]}] = true
		case pair.a >= 0 && layersA != nil:
			alone[0][layersA[pair.a]] = true
		case pair.b >= 0 && layersB != nil:
			alone[1][layersB[pair.b]] = true
		}
	}
	pairs := align(len(a), len(b), func(i, j int) bool { return a[i] == b[j] })
	pairs = pairUp(pairs, func(i, j int) bool { return with[alignment{i, j}] || a[i].CreatedBy == b[j].CreatedBy })
	for _, pair := range rejoin(pairs, with) {
		switch {
		case pair.same():
			p.historyEntry(pair.a, a[pair.a], b[pair.b])
		case p.Level >= Layers && (pair.a >= 0 && alone[0][pair.a] || pair.b >= 0 && alone[1][pair.b]):
		case pair.a >= 0:
			p.found(Difference{Level: Config, Path: historyPath(pair.a), Field: "history", A: a[pair.a].CreatedBy, B: none})
		default:
			p.found(Difference{Level: Config, Path: historyPath(pair.b), Field: "history", A: none, B: b[pair.b].CreatedBy})
		}
	}
}

// rejoin joins entries that no order has as a pair, but whose layers are one.
func rejoin(pairs []alignment, with map[alignment]bool) []alignment {
	taken := map[int]bool{}
	for i, pair := range pairs {
		for _, q := range pairs {
			if pair.b < 0 && q.a < 0 && with[alignment{pair.a, q.b}] {
				pairs[i].b, taken[q.b] = q.b, true
			}
		}
	}
	return slices.DeleteFunc(pairs, func(q alignment) bool { return q.a < 0 && taken[q.b] })
}

func historyPath(at int) string { return fmt.Sprintf("history %d", at+1) }

func (p *pairing) historyEntry(at int, a, b entry) {
	for _, f := range [][3]string{
		{"created", a.Created, b.Created},
		{"created_by", a.CreatedBy, b.CreatedBy},
		{"author", a.Author, b.Author},
		{"comment", a.Comment, b.Comment},
		{"empty_layer", fmt.Sprint(a.EmptyLayer), fmt.Sprint(b.EmptyLayer)},
	} {
		if f[1] != f[2] {
			p.found(Difference{Level: Config, Path: historyPath(at), Field: "history." + f[0], A: orNone(f[1]), B: orNone(f[2])})
		}
	}
}

// pairLayers matches layers by what is in them, then by the instruction that made
// them, then by their place between those that were matched.
func (p *pairing) pairLayers() []alignment {
	a, b := p.a.layers, p.b.layers
	pairs := align(len(a), len(b), func(i, j int) bool { return a[i].same(b[j]) })
	pairs = p.regroup(pairs)
	return pairUp(pairs, func(i, j int) bool { return a[i].createdBy != "" && a[i].createdBy == b[j].createdBy })
}

// same reports whether two layers have the same archive in them.
func (l *blob) same(other *blob) bool {
	return l.desc.Digest == other.desc.Digest || l.diffID != (v1.Hash{}) && l.diffID == other.diffID
}

// regroup joins layers that are in both images, but in another order.
func (p *pairing) regroup(pairs []alignment) []alignment {
	var out []alignment
	for _, pair := range pairs {
		if pair.a < 0 || pair.b >= 0 {
			out = append(out, pair)
			continue
		}
		moved := slices.IndexFunc(pairs, func(q alignment) bool { return q.a < 0 && p.a.layers[pair.a].same(p.b.layers[q.b]) })
		if moved < 0 || slices.ContainsFunc(out, func(q alignment) bool { return q.same() && q.b == pairs[moved].b }) {
			out = append(out, pair)
			continue
		}
		out = append(out, alignment{pair.a, pairs[moved].b})
	}
	taken := map[int]bool{}
	for _, q := range out {
		if q.same() {
			taken[q.b] = true
		}
	}
	return slices.DeleteFunc(out, func(q alignment) bool { return q.a < 0 && taken[q.b] })
}
