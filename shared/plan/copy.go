package plan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

var errManyToOne = errors.New("several sources need a destination that ends in a slash")

func (b *builder) copy(in *dockerfile.Copy) error {
	op := Copy{Unpack: in.Add}
	said := in.Name
	var err error
	if op.Chown, err = b.word(in.Chown); err != nil {
		return err
	}
	if op.Chown != "" {
		said += " --chown=" + op.Chown
	}
	chmod, err := b.word(in.Chmod)
	if err != nil {
		return err
	}
	if chmod != "" {
		mode, err := dockerfile.ParseMode(chmod)
		if err != nil {
			return err
		}
		op.Chmod = &mode
		said += " --chmod=" + chmod
	}
	for _, s := range in.Sources {
		if s, err = b.word(s); err != nil {
			return err
		}
		if err := in.CheckSource(s); err != nil {
			return err
		}
		op.Sources = append(op.Sources, s)
		said += " " + s
	}
	for _, f := range in.Inline {
		data := f.Data
		if f.Expand {
			var unset []string
			if data, unset, err = b.c.expand.Text(data, b.vars.get); err != nil {
				return err
			}
			b.warnUnset(unset)
		}
		op.Inline = append(op.Inline, Inline{Name: f.Name, Data: data})
		said += " <<" + f.Name
	}
	dest, err := b.word(in.Dest)
	if err != nil {
		return err
	}
	op.Dest, op.DestDir = b.absolute(dest), isDir(dest)
	if len(op.Sources)+len(op.Inline) > 1 && !op.DestDir {
		return &dockerfile.Error{At: in.At, Err: fmt.Errorf("%s: %w", in.Name, errManyToOne), Advice: "write " + dest + "/"}
	}
	if in.From != "" {
		if op.From, err = b.from(in); err != nil {
			return err
		}
	}
	b.step(op, "%s %s", said, dest)
	return nil
}

func (b *builder) from(in *dockerfile.Copy) (*Source, error) {
	d, key, err := b.c.copyFrom(b.d, in)
	if err != nil {
		return nil, err
	}
	if d != nil {
		return &Source{Stage: d.out}, nil
	}
	return &Source{Image: b.c.images[key]}, nil
}

// isDir reports whether a destination can only be a directory, by how it is
// written. An empty one is the working directory.
func isDir(dest string) bool {
	last := dest[strings.LastIndexByte(dest, '/')+1:]
	return last == "" || last == "." || last == ".."
}
