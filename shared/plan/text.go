package plan

import (
	"fmt"
	"strings"
)

// String is the plan as text, one line per step, for people and for comparison.
// Configs are not in it.
func (p *Plan) String() string {
	var w strings.Builder
	for _, s := range p.Stages {
		fmt.Fprintf(&w, "stage %d", s.Index)
		if s.Name != "" {
			fmt.Fprintf(&w, " %s", s.Name)
		}
		fmt.Fprintf(&w, " %s from %s\n", formatPlatform(s.Platform), s.Base)
		for _, step := range s.Steps {
			fmt.Fprintf(&w, "  %d %s\n", step.At.Line, opText(step.Op))
		}
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(&w, "warning %s\n", warning)
	}
	return w.String()
}

// String is what FROM names.
func (b Base) String() string {
	switch {
	case b.Stage != nil:
		return fmt.Sprintf("stage %d", b.Stage.Index)
	case b.Image != nil:
		return b.Image.String()
	}
	return scratch
}

// String is the reference with the digest that it stands for.
func (i *Image) String() string {
	if i.Digest.Hex == "" || strings.HasSuffix(i.Ref, i.Digest.String()) {
		return i.Ref
	}
	return i.Ref + "@" + i.Digest.String()
}

func opText(op Op) string {
	switch op := op.(type) {
	case Run:
		s := fmt.Sprintf("run %q in %s", op.Args, op.Dir)
		if op.User != "" {
			s += " as " + op.User
		}
		for _, f := range op.Files {
			s += fmt.Sprintf(" with %s%s %04o %q", pipes, f.Name, f.Mode, f.Data)
		}
		return s + fmt.Sprintf(" env %q", op.Env)
	case Copy:
		s := "copy"
		if op.Unpack {
			s = "add"
		}
		switch {
		case op.From == nil:
		case op.From.Stage != nil:
			s += fmt.Sprintf(" from stage %d", op.From.Stage.Index)
		default:
			s += fmt.Sprintf(" from %s", op.From.Image)
		}
		for _, src := range op.Sources {
			s += fmt.Sprintf(" %q", src)
		}
		for _, f := range op.Inline {
			s += fmt.Sprintf(" <<%s %q", f.Name, f.Data)
		}
		s += " to " + op.Dest
		if op.DestDir {
			s += " (directory)"
		}
		if op.Chown != "" {
			s += " chown " + op.Chown
		}
		if op.Chmod != nil {
			s += fmt.Sprintf(" chmod %s", *op.Chmod)
		}
		return s
	case Dir:
		s := "dir " + op.Path
		if op.User != "" {
			s += " as " + op.User
		}
		return s
	case Meta:
		return "meta"
	}
	return fmt.Sprintf("%T", op)
}
