package plan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// use is a place in a stage that takes files from elsewhere by name.
type use struct {
	from string // a stage, its number, a named context or an image
	text string // "COPY --from=x"
	at   dockerfile.Location
}

// uses are the places in a stage that take files from elsewhere.
func (d *draft) uses() []use {
	var out []use
	for _, in := range d.instructions() {
		switch in := in.(type) {
		case *dockerfile.Copy:
			if in.From != "" {
				out = append(out, copyUse(in))
			}
		case *dockerfile.Run:
			for _, from := range in.Froms() {
				out = append(out, mountUse(in, from))
			}
		}
	}
	return out
}

func copyUse(in *dockerfile.Copy) use {
	return use{from: in.From, text: "COPY --from=" + in.From, at: in.At}
}

func mountUse(in *dockerfile.Run, from string) use {
	return use{from: from, text: "RUN --mount=from=" + from, at: in.At}
}

// origin is what such a name means: one field is set.
type origin struct {
	stage   *draft
	image   imageKey
	context string
}

// find tells what a name in stage d means.
func (c *compiler) find(d *draft, u use) (origin, error) {
	if named, ctx, ok := c.context(u.from); ok {
		if ctx.Image != "" {
			return origin{image: imageKey{ctx.Image, formatPlatform(c.o.TargetPlatform)}}, nil
		}
		return origin{context: named}, nil
	}
	s, ok := c.file.Find(u.from, d.in.Index)
	switch _, err := strconv.Atoi(u.from); {
	case ok && s.Index < d.in.Index:
		return origin{stage: c.drafts[s.Index]}, nil
	case ok && s.Index == d.in.Index:
		return origin{}, at(u.at, "%s: a stage cannot take files from itself", u.text)
	case ok:
		return origin{}, &dockerfile.Error{
			At:     u.at,
			Err:    fmt.Errorf("%s: that stage comes later, at %s", u.text, s.At),
			Advice: "a stage can take files only from stages before it",
		}
	case err == nil:
		return origin{}, at(u.at, "%s: there is no such stage, they go from 0 to %d", u.text, len(c.drafts)-1)
	case strings.EqualFold(u.from, scratch):
		return origin{}, at(u.at, "%s: scratch has no files", u.text)
	}
	return origin{image: imageKey{u.from, formatPlatform(c.o.TargetPlatform)}}, nil
}

// source is the origin for the plan, once images are resolved and the stages
// before are compiled.
func (c *compiler) source(d *draft, u use) (*Source, error) {
	from, err := c.find(d, u)
	switch {
	case err != nil:
		return nil, err
	case from.stage != nil:
		return &Source{Stage: from.stage.out}, nil
	case from.context != "":
		return &Source{Context: from.context}, nil
	}
	return &Source{Image: c.images[from.image]}, nil
}

// context finds a named context, and says under which name it was given. An
// image's name means the same with and without the host and tag that it has by
// default.
func (c *compiler) context(from string) (string, Context, bool) {
	if ctx, ok := c.o.Contexts[from]; ok {
		return from, ctx, true
	}
	for named, ctx := range c.o.Contexts {
		if strings.EqualFold(named, from) || sameImage(named, from) {
			return named, ctx, true
		}
	}
	return "", Context{}, false
}

func sameImage(a, b string) bool {
	x, err := name.ParseReference(a)
	if err != nil {
		return false
	}
	y, err := name.ParseReference(b)
	return err == nil && x.Name() == y.Name()
}

// fromContext puts a named context in the place of d, if it has d's name, or of
// what d's FROM names.
func (c *compiler) fromContext(d *draft) bool {
	ctx, replaced := Context{}, false
	named := ""
	if d.in.As != "" {
		named, ctx, replaced = c.context(d.in.As)
	}
	ok := replaced
	if !ok {
		named, ctx, ok = c.context(d.ref)
	}
	if !ok {
		return false
	}
	d.replaced = replaced
	if d.ref = ctx.Image; d.ref == "" {
		d.files = named
	}
	return true
}

// isImage reports whether d starts from an image.
func (d *draft) isImage() bool { return d.base == nil && d.files == "" && d.ref != scratch }
