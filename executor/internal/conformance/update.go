//go:build linux

package conformance

import (
	"os"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// Update writes what a builder made into the case's file: want/tree and
// want/config.json, and want/history if it was there. What the case says of a path
// or a field in which the builder differs from the executor, or in general does,
// stays as it is, to be kept right by hand.
func (c *Case) Update(m *Made, builder string, general []Differ) error {
	u := &Case{File: c.File, Want: c.Want, Differs: append(slices.Clone(c.Differs), general...), archive: c.archive}
	return u.update(m, builder, c.mayDiffer(builder, "history", "created_by", "entries", "empty_layer"))
}

func (c *Case) update(m *Made, builder string, keepHistory bool) error {
	config, err := c.updatedConfig(m, builder)
	if err != nil {
		return err
	}
	c.setPart("want/tree", c.updatedTree(m, builder))
	c.setPart("want/config.json", config)
	if c.Want.History != nil && !keepHistory {
		c.setPart("want/history", strings.Join(append(m.History, ""), "\n"))
	}
	return os.WriteFile(c.File, txtar.Format(c.archive), 0o644)
}

// mayDiffer reports whether the case explains a difference of any of the kinds.
func (c *Case) mayDiffer(builder, path string, kinds ...string) bool {
	return slices.ContainsFunc(c.Differs, func(d Differ) bool {
		return d.Builder == builder && d.Verb == "differs" && slices.ContainsFunc(kinds, func(k string) bool {
			return d.Covers(treediff.Difference{Path: path, Kind: k})
		})
	})
}

// updatedTree is the builder's tree, but for paths that are explained.
func (c *Case) updatedTree(m *Made, builder string) string {
	kinds := []string{"only-ours", "only-theirs", "type", "mode", "owner", "size", "link", "device", "xattrs", "content", "hardlink", "mtime"}
	explained := func(line string) bool { return c.mayDiffer(builder, linePath(line), kinds...) }
	lines := slices.DeleteFunc(slices.Clone(m.Tree), explained)
	if c.Want.Tree != nil {
		for _, l := range contentLines(*c.Want.Tree) {
			if explained(l) {
				lines = append(lines, l)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(linePath(a), linePath(b)) })
	return strings.Join(append(lines, ""), "\n")
}

// updatedConfig is the builder's configuration, but for fields that are explained.
func (c *Case) updatedConfig(m *Made, builder string) (string, error) {
	out := &Made{Config: map[string]any{}}
	for name, value := range m.Config {
		if !c.mayDiffer(builder, "config", name) {
			out.Config[name] = value
		}
	}
	if c.Want.Config != nil {
		want, err := decodeConfig(*c.Want.Config)
		if err != nil {
			return "", err
		}
		for name, value := range want {
			if c.mayDiffer(builder, "config", name) {
				out.Config[name] = value
			}
		}
	}
	return out.ConfigText()
}

func (c *Case) setPart(name, text string) {
	for i := range c.archive.Files {
		if c.archive.Files[i].Name == name {
			c.archive.Files[i].Data = []byte(text)
			return
		}
	}
	c.archive.Files = append(c.archive.Files, txtar.File{Name: name, Data: []byte(text)})
}
