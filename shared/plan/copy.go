package plan

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

var errManyToOne = errors.New("several sources need a destination that ends in a slash")

func (b *builder) copy(in *dockerfile.Copy) error {
	c := &copyBuilder{builder: b, in: in, said: in.Name}
	c.op = Copy{Unpack: in.Add && (in.Unpack == nil || *in.Unpack), Parents: in.Parents, Link: in.Link}
	for _, part := range []func() error{c.options, c.sources, c.inline, c.dest} {
		if err := part(); err != nil {
			return err
		}
	}
	if in.From != "" {
		var err error
		if c.op.From, err = b.c.source(b.d, copyUse(in)); err != nil {
			return err
		}
	}
	b.step(c.op, "%s", c.said)
	return nil
}

// copyBuilder makes the operation of one COPY or ADD.
type copyBuilder struct {
	*builder
	in       *dockerfile.Copy
	op       Copy
	checksum string
	said     string // for the history
}

func (c *copyBuilder) options() error {
	var err error
	if c.in.Parents {
		c.said += " --parents"
	}
	if c.op.Chown, err = c.word(c.in.Chown); err != nil {
		return err
	}
	if c.op.Chown != "" {
		c.said += " --chown=" + c.op.Chown
	}
	chmod, err := c.word(c.in.Chmod)
	if err != nil {
		return err
	}
	if chmod != "" {
		mode, err := dockerfile.ParseMode(chmod)
		if err != nil {
			return err
		}
		c.op.Chmod = &mode
		c.said += " --chmod=" + chmod
	}
	for _, pattern := range c.in.Exclude {
		if pattern, err = c.word(pattern); err != nil {
			return err
		}
		c.op.Exclude = append(c.op.Exclude, pattern)
	}
	c.checksum, err = c.word(c.in.Checksum)
	return err
}

func (c *copyBuilder) sources() error {
	for _, s := range c.in.Sources {
		s, err := c.word(s)
		if err != nil {
			return err
		}
		if err := c.in.CheckSource(s); err != nil {
			return err
		}
		c.said += " " + s
		what := dockerfile.Remote(s)
		if what == "" {
			c.lintSource(s)
			c.op.Sources = append(c.op.Sources, s)
			continue
		}
		r := Remote{URL: s, Checksum: c.checksum}
		if r.Git = what == dockerfile.Repository; r.Git {
			r.KeepGitDir = c.in.KeepGitDir
		} else {
			r.Name = fileName(s)
			r.Unpack = c.in.Unpack != nil && *c.in.Unpack
		}
		c.op.Remotes = append(c.op.Remotes, r)
	}
	return c.checkChecksum()
}

// checkChecksum refuses a checksum that could not be meant for what is copied.
func (c *copyBuilder) checkChecksum() error {
	switch {
	case c.in.Checksum == "":
		return nil
	case len(c.op.Remotes) != 1 || len(c.op.Sources)+len(c.in.Inline) > 0:
		return &dockerfile.Error{
			At:     c.in.At,
			Err:    errors.New("ADD --checksum: there must be one source, and that a URL or a git repository"),
			Advice: "write an ADD of its own for each source",
		}
	case c.checksum == "":
		return fmt.Errorf("ADD --checksum=%s expands to nothing", c.in.Checksum)
	}
	return nil
}

func (c *copyBuilder) inline() error {
	for _, f := range c.in.Inline {
		data := f.Data
		if f.Expand {
			var unset []string
			var err error
			if data, unset, err = c.c.expand.Text(data, c.vars.get); err != nil {
				return err
			}
			c.warnUnset(unset)
		}
		c.op.Inline = append(c.op.Inline, Inline{Name: f.Name, Data: data})
		c.said += " <<" + f.Name
	}
	return nil
}

func (c *copyBuilder) dest() error {
	dest, err := c.word(c.in.Dest)
	if err != nil {
		return err
	}
	c.said += " " + dest
	c.op.Dest, c.op.DestDir = c.absolute(dest), isDir(dest)
	if len(c.op.Sources)+len(c.op.Remotes)+len(c.op.Inline) > 1 && !c.op.DestDir {
		return &dockerfile.Error{At: c.in.At, Err: fmt.Errorf("%s: %w", c.in.Name, errManyToOne), Advice: "write " + dest + "/"}
	}
	for _, r := range c.op.Remotes {
		if !r.Git && r.Name == "" && !r.Unpack && c.op.DestDir {
			return &dockerfile.Error{
				At:     c.in.At,
				Err:    fmt.Errorf("ADD %s: the URL has no file name, and the destination is a directory", r.URL),
				Advice: "end the destination with the name that the file is to have",
			}
		}
	}
	return nil
}

// fileName is the last part of a URL's path, without escapes; empty if it has none.
// What the server would call the file, or where it redirects to, has no say: the
// name must be known before anything is fetched.
func fileName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	name := path.Base(u.Path)
	if name == "." || name == "/" || name == ".." || strings.ContainsRune(name, 0) {
		return ""
	}
	return name
}

// isDir reports whether a destination can only be a directory, by how it is
// written. An empty one is the working directory.
func isDir(dest string) bool {
	last := dest[strings.LastIndexByte(dest, '/')+1:]
	return last == "" || last == "." || last == ".."
}
