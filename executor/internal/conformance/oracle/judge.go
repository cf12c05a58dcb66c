//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// judge compares cases.
type judge struct {
	options  options
	site     *conformance.Site
	dir      string
	start    time.Time
	builders []builder
	general  []conformance.Differ
	table    *table
}

// A verdict is what one builder did with one case, compared with the executor.
type verdict struct {
	builder   string
	state     string // same, explained, UNEXPLAINED, skipped; empty of the executor itself
	explained []string
	open      []string
	shown     string // what it made, if that is asked for
}

// one judges one case. An error is of the machinery, not of a build.
func (j *judge) one(ctx context.Context, c *conformance.Case) (out []verdict, err error) {
	dir := filepath.Join(j.dir, "cases", c.Name)
	if err := os.MkdirAll(dir+"/case", 0o755); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	built, err := j.site.Lay(ctx, c, dir+"/case")
	if err != nil {
		return nil, err
	}
	var ours result
	for i, b := range j.builders {
		if i > 0 && skipped(c, b.name()) {
			out = append(out, verdict{builder: b.name(), state: "skipped"})
			continue
		}
		into := filepath.Join(dir, b.name())
		if err := os.MkdirAll(into, 0o755); err != nil {
			return out, err
		}
		r, err := b.build(ctx, built, into)
		if err != nil {
			return out, fmt.Errorf("%s: %s: %w", c.Name, b.name(), err)
		}
		shown := ""
		if j.options.show {
			if shown, err = j.show(built, r); err != nil {
				return out, err
			}
		}
		if i == 0 {
			ours = r
			if shown != "" {
				out = append(out, verdict{builder: b.name(), shown: shown})
			}
			continue
		}
		if b.name() == conformance.BuildKit && j.options.update && r.img != nil && len(c.Want.Error) == 0 {
			if err := j.update(built, r); err != nil {
				return out, err
			}
		}
		v, err := j.compare(c, b.name(), ours, r)
		if err != nil {
			return out, fmt.Errorf("%s: %s: %w", c.Name, b.name(), err)
		}
		v.shown = shown
		out = append(out, v)
	}
	return out, nil
}

func skipped(c *conformance.Case, builder string) bool {
	for _, d := range c.Differs {
		if d.Builder == builder && d.Verb == "skip" {
			return true
		}
	}
	return false
}

// compare compares the executor's build with another's.
func (j *judge) compare(c *conformance.Case, name string, ours, theirs result) (verdict, error) {
	v := verdict{builder: name}
	mustFail := c.Fails("isolated") != nil
	switch {
	case mustFail && ours.img != nil:
		v.open = append(v.open, "the executor built what it must refuse")
	case !mustFail && ours.img == nil:
		v.open = append(v.open, "the executor failed:\n"+tail(ours.said))
	}
	used := make([]bool, len(c.Differs))
	verb := func(want, what string) {
		for i, d := range c.Differs {
			if d.Builder == name && d.Verb == want {
				used[i] = true
				v.explained = append(v.explained, what+": "+d.Reason)
				return
			}
		}
		v.open = append(v.open, what)
	}
	switch {
	case theirs.img == nil && !mustFail:
		verb("fails", name+" failed:\n"+tail(theirs.said))
	case theirs.img != nil && mustFail:
		verb("builds", name+" builds it")
	case theirs.img != nil && ours.img != nil:
		diffs, err := j.differences(c, ours.img, theirs)
		if err != nil {
			return v, err
		}
		for _, d := range diffs {
			if why := j.explain(c, name, d, used); why != "" {
				v.explained = append(v.explained, line(d)+"  ("+why+")")
			} else {
				v.open = append(v.open, line(d))
			}
		}
	}
	for i, d := range c.Differs {
		if d.Builder == name && !used[i] {
			v.open = append(v.open, fmt.Sprintf("differs explains what is not so: %s %s %s %s", d.Verb, d.Glob, d.Kind, d.Reason))
		}
	}
	switch {
	case len(v.open) > 0:
		v.state = "UNEXPLAINED"
	case len(v.explained) > 0:
		v.state = "explained"
	default:
		v.state = "same"
	}
	return v, nil
}

// differences are those of tree, configuration and, if the case wants one, history
// and output.
func (j *judge) differences(c *conformance.Case, ours v1.Image, theirs result) ([]treediff.Difference, error) {
	var trees [2]*treediff.Tree
	var configs [2]*treediff.Config
	for i, img := range []v1.Image{ours, theirs.img} {
		var err error
		if trees[i], err = treediff.Flatten(img, treediff.Options{}); err != nil {
			return nil, err
		}
		if configs[i], err = treediff.ReadConfig(img); err != nil {
			return nil, err
		}
	}
	diffs := append(treediff.Trees(trees[0], trees[1], conformance.Since(j.start)), treediff.Configs(configs[0], configs[1])...)
	if c.Want.History != nil {
		configs[1].History = conformance.Plain(configs[1].History)
		diffs = append(diffs, treediff.Histories(configs[0], configs[1])...)
	}
	for i, who := range []string{"only-ours", "only-theirs"} {
		for _, a := range trees[i].Anomalies {
			diffs = append(diffs, treediff.Difference{Path: "anomaly", Kind: who, Text: a})
		}
	}
	for i := range diffs {
		switch diffs[i].Kind {
		case "only-a":
			diffs[i].Kind = "only-ours"
		case "only-b":
			diffs[i].Kind = "only-theirs"
		}
	}
	for _, l := range c.Want.Output {
		if !strings.Contains(theirs.said, l) {
			diffs = append(diffs, treediff.Difference{Path: "output", Kind: "missing", Text: l})
		}
	}
	return diffs, nil
}

// explain is the reason for a difference, empty if there is none. All explanations
// of the case that fit count as used.
func (j *judge) explain(c *conformance.Case, builder string, d treediff.Difference, used []bool) string {
	why := ""
	for i, x := range c.Differs {
		if x.Builder == builder && x.Verb == "differs" && x.Covers(d) {
			used[i] = true
			why = x.Reason
		}
	}
	if why != "" {
		return why
	}
	for _, x := range j.general {
		if x.Builder == builder && x.Covers(d) {
			return x.Reason
		}
	}
	return ""
}

func line(d treediff.Difference) string { return d.Path + "  " + d.Kind + "  " + d.Text }

// tail is the end of what a builder said.
func tail(said string) string {
	const lines = 12
	all := strings.Split(strings.TrimSpace(said), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return "    " + strings.Join(all, "\n    ")
}
