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
		if op.Offline {
			s += " offline"
		}
		for _, m := range op.Mounts {
			s += " mount " + m.String()
		}
		return s + fmt.Sprintf(" env %q", op.Env)
	case Copy:
		s := "copy"
		if op.Unpack {
			s = "add"
		}
		s += op.From.text()
		for _, src := range op.Sources {
			s += fmt.Sprintf(" %q", src)
		}
		for _, r := range op.Remotes {
			s += r.text()
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
		if op.Parents {
			s += " parents"
		}
		if op.Link {
			s += " link"
		}
		for _, pattern := range op.Exclude {
			s += fmt.Sprintf(" exclude %q", pattern)
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

func (s *Source) text() string {
	switch {
	case s == nil:
		return ""
	case s.Stage != nil:
		return fmt.Sprintf(" from stage %d", s.Stage.Index)
	case s.Context != "":
		return " from context " + s.Context
	}
	return fmt.Sprintf(" from %s", s.Image)
}

func (r Remote) text() string {
	s := " url"
	if r.Git {
		s = " repository"
	}
	s += fmt.Sprintf(" %q", r.URL)
	if r.Checksum != "" {
		s += " checksum " + r.Checksum
	}
	if r.Unpack {
		s += " unpack"
	}
	if r.KeepGitDir != nil && *r.KeepGitDir {
		s += " with .git"
	}
	return s
}

// String is the mount on one line, for people and for comparison.
func (m Mount) String() string {
	s := string(m.Type) + m.From.text()
	if m.Source != "" {
		s += fmt.Sprintf(" %q", m.Source)
	}
	if m.ID != "" {
		s += fmt.Sprintf(" id %q", m.ID)
	}
	if m.Target != "" {
		s += " at " + m.Target
	}
	if m.Env != "" {
		s += " as $" + m.Env
	}
	if m.Sharing != "" {
		s += " " + string(m.Sharing)
	}
	if m.Mode != 0 {
		s += fmt.Sprintf(" %04o %d:%d", m.Mode, m.UID, m.GID)
	}
	if m.Size != 0 {
		s += fmt.Sprintf(" of %d bytes", m.Size)
	}
	if m.ReadOnly {
		s += " read-only"
	}
	if m.Required {
		s += " required"
	}
	return s
}
