package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// compare builds every workload with every builder, flattens the images and compares them with the reference builder's; and it builds each
// twice reproducibly with every executor driver and compares digests.
func compare(ctx context.Context) (err error) {
	o, err := flags()
	if err != nil {
		return err
	}
	if o.treediff == "" {
		return errors.New("compare needs -treediff")
	}
	b, closing, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	for _, w := range o.workloads() {
		// What comes out of a cache is compared with what went into it when that is measured.
		if w.Cache != "" || w.Warm || w.Heavy {
			continue
		}
		if err := b.prepare(ctx, w.repeatable()); err != nil {
			return err
		}
	}
	b.choose(ctx, o.who)
	c := &comparison{bench: b, treediff: o.treediff, explain: o.explain}
	for _, w := range b.prepared {
		c.trees(ctx, w)
		c.digests(ctx, w)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	fmt.Printf("\n%d comparisons, %d differ\n", c.total, c.bad)
	if c.bad > 0 {
		return errors.New("images differ")
	}
	return nil
}

type comparison struct {
	*bench
	treediff, explain string
	total, bad        int
}

// note prints one verdict.
func (c *comparison) note(w, what string, ok bool, detail string) {
	c.total++
	verdict := "ok  "
	if !ok {
		c.bad++
		verdict = "DIFF"
	}
	fmt.Printf("%s %-10s %s\n", verdict, w, what)
	if detail = strings.TrimSpace(detail); detail != "" {
		fmt.Println("       " + strings.ReplaceAll(detail, "\n", "\n       "))
	}
}

// trees compares what the builders made with what the reference made.
func (c *comparison) trees(ctx context.Context, w prepared) {
	var want string
	for i, x := range c.report.builders {
		name := "tree-" + w.Name + "-" + x.Slug()
		_, m, err := c.build(ctx, w, x, target{name: name, repo: "bench/" + name, tag: "1"})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.note(w.Name, x.Name, false, err.Error())
			if i == 0 {
				return
			}
			continue
		}
		ref := c.env.Registry + "/bench/" + name + "@" + m.Digest
		if i == 0 {
			want = ref
			continue
		}
		args := []string{want, ref}
		if c.explain != "" {
			args = append([]string{"-explain", c.explain}, args...)
		}
		out, err := exec.CommandContext(ctx, c.treediff, args...).CombinedOutput()
		c.note(w.Name, c.report.builders[0].Name+" | "+x.Name, err == nil, string(out))
	}
}

// digests builds reproducibly, twice with each of the executor's drivers: all must be one image.
func (c *comparison) digests(ctx context.Context, w prepared) {
	var lines, digests, names []string
	for _, x := range c.report.builders {
		if !strings.HasPrefix(x.Name, "executor") {
			continue
		}
		for i := range 2 {
			name := fmt.Sprintf("digest-%s-%s-%d", w.Name, x.Slug(), i)
			_, m, err := c.build(ctx, w, x, target{name: name, repo: "bench/" + name, tag: "1", reproducible: true})
			if err != nil {
				if ctx.Err() == nil {
					c.note(w.Name, x.Name+", reproducible", false, err.Error())
				}
				break
			}
			digests = append(digests, m.Digest)
			names = append(names, c.env.Registry+"/bench/"+name+":1")
			lines = append(lines, m.Digest+"  "+x.Name)
		}
	}
	if len(digests) == 0 {
		return
	}
	same := len(slices.Compact(slices.Clone(digests))) == 1
	detail := ""
	if !same {
		detail = strings.Join(lines, "\n")
		for i := range digests {
			if digests[i] != digests[0] {
				out, _ := exec.CommandContext(ctx, c.treediff, "-mtime", names[0], names[i]).CombinedOutput()
				detail += "\n" + string(out)
				break
			}
		}
	}
	c.note(w.Name, fmt.Sprintf("%d reproducible builds, one digest", len(digests)), same, detail)
}
