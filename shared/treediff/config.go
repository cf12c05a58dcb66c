package treediff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Config is an image's configuration as far as it can differ: the fields of what
// runs, under the names they have in JSON ("Env", "Healthcheck"), and author,
// architecture, os, os.version, os.features and variant. Empty fields are not in it.
type Config struct {
	Fields  map[string]any
	History []Step
}

// Step is an entry of an image's history.
type Step struct {
	CreatedBy  string
	EmptyLayer bool
}

// ReadConfig reads the configuration of an image from its JSON, so that fields are
// seen of which Go's types know nothing.
func ReadConfig(img v1.Image) (*Config, error) {
	raw, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	return ParseConfig(raw)
}

// ParseConfig reads a configuration file.
func ParseConfig(raw []byte) (*Config, error) {
	var file map[string]json.RawMessage
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	c := &Config{Fields: map[string]any{}}
	for _, name := range []string{"author", "architecture", "os", "os.version", "os.features", "variant"} {
		if err := c.add(name, file[name]); err != nil {
			return nil, err
		}
	}
	var run map[string]json.RawMessage
	if err := unmarshal("config", file["config"], &run); err != nil {
		return nil, err
	}
	for name, value := range run {
		if err := c.add(name, value); err != nil {
			return nil, err
		}
	}
	var history []struct {
		CreatedBy  string `json:"created_by"`
		EmptyLayer bool   `json:"empty_layer"`
	}
	if err := unmarshal("history", file["history"], &history); err != nil {
		return nil, err
	}
	for _, h := range history {
		c.History = append(c.History, Step(h))
	}
	return c, nil
}

func (c *Config) add(name string, raw json.RawMessage) error {
	var v any
	if err := unmarshal(name, raw, &v); err != nil {
		return err
	}
	if !unset(v) {
		c.Fields[name] = v
	}
	return nil
}

func unmarshal(name string, raw json.RawMessage, to any) error {
	if raw == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // nanoseconds are too long for a float
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("read %s of the image's configuration: %w", name, err)
	}
	return nil
}

func unset(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	case json.Number:
		return v == "0"
	}
	return reflect.ValueOf(v).IsZero()
}

// Configs lists what differs between two configurations; dates, the history and
// the layers' digests are not looked at.
func Configs(a, b *Config) []Difference {
	names := map[string]bool{}
	for name := range a.Fields {
		names[name] = true
	}
	for name := range b.Fields {
		names[name] = true
	}
	var out []Difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		x, y := a.Fields[name], b.Fields[name]
		if !reflect.DeepEqual(x, y) {
			out = append(out, Difference{"config", name, compact(x) + " | " + compact(y)})
		}
	}
	return out
}

func compact(v any) string {
	if v == nil {
		return "(none)"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// Histories lists what differs between the histories of two images: their number
// of entries, else an entry's created_by and empty_layer.
func Histories(a, b *Config) []Difference {
	if len(a.History) != len(b.History) {
		return []Difference{{"history", "entries", fmt.Sprintf("%d | %d", len(a.History), len(b.History))}}
	}
	var out []Difference
	for i, x := range a.History {
		y := b.History[i]
		if x.CreatedBy != y.CreatedBy {
			out = append(out, Difference{"history", "created_by", fmt.Sprintf("%d: %q | %q", i, x.CreatedBy, y.CreatedBy)})
		}
		if x.EmptyLayer != y.EmptyLayer {
			out = append(out, Difference{"history", "empty_layer", strconv.Itoa(i) + ": " + fmt.Sprintf("%v | %v", x.EmptyLayer, y.EmptyLayer)})
		}
	}
	return out
}
