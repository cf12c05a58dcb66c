package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

const (
	around   = 2  // lines of the Dockerfile shown on either side of the failing ones
	maxLines = 12 // failing lines shown; an instruction may go on for hundreds
)

// Page is what a user sees of an error, once, at the end.
type Page struct {
	Err error
	// At is the place in the Dockerfile. If it is empty, the outermost error says that
	// is a *dockerfile.Error or has a method Location() dockerfile.Location.
	At dockerfile.Location
	// Source is the text of the Dockerfile that At is in; the page has no excerpt
	// without.
	Source []byte
	// Output gives the last lines that the failing command wrote; may be nil.
	Output func() []string
	// Trace is the id of the build's trace; empty without tracing.
	Trace string
}

// write prints the page. What it prints comes from files and commands of others:
// control characters are shown, not obeyed.
func (p Page) write(w io.Writer) {
	var b strings.Builder
	at := p.location()
	if excerpt := excerpt(p.Source, at); excerpt != "" {
		fmt.Fprintf(&b, "\n%s\n%s", plain(at.String()), excerpt)
	}
	if p.Output != nil {
		if lines := p.Output(); len(lines) > 0 {
			b.WriteString("\nlast lines of the command:\n")
			for _, line := range lines {
				fmt.Fprintf(&b, "  %s\n", plain(line))
			}
		}
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	for i, line := range strings.Split(strings.TrimRight(p.Err.Error(), "\n"), "\n") {
		if i == 0 {
			line = "error: " + line
		} else {
			line = "  " + line
		}
		fmt.Fprintln(&b, plain(line))
	}
	if hint := hintOf(p.Err); hint != "" {
		fmt.Fprintf(&b, "hint: %s\n", plain(hint))
	}
	if p.Trace != "" {
		fmt.Fprintf(&b, "trace: %s\n", plain(p.Trace))
	}
	io.WriteString(w, b.String()) //nolint:errcheck // there is nobody left to tell
}

// hintOf is what an error says of what to do, or what is to be done about a full disk,
// whatever was being written; else it is empty.
func hintOf(err error) string {
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) && hinter.Hint() != "" {
		return hinter.Hint()
	}
	var path *fs.PathError
	if errors.As(err, &path) && (errors.Is(path, syscall.ENOSPC) || errors.Is(path, syscall.EDQUOT)) {
		return "the disk that holds " + filepath.Dir(path.Path) + " is full, has no inodes left or is over its quota: " +
			"give the container more storage (ephemeral-storage in Kubernetes) or a volume"
	}
	return ""
}

// Excerpt is what the page shows of the Dockerfile for an error; empty if that is not
// about a place in it.
func (p Page) Excerpt(err error) string {
	p.Err = err
	at := p.location()
	if text := excerpt(p.Source, at); text != "" {
		return plain(at.String()) + "\n" + text
	}
	return ""
}

func (p Page) location() dockerfile.Location {
	if p.At != (dockerfile.Location{}) {
		return p.At
	}
	var located interface{ Location() dockerfile.Location }
	if errors.As(p.Err, &located) {
		return located.Location()
	}
	var fault *dockerfile.Error
	if errors.As(p.Err, &fault) {
		return fault.At
	}
	return p.At
}

// excerpt is the lines at and around a location, those at it marked.
func excerpt(source []byte, at dockerfile.Location) string {
	if len(source) == 0 || at.Line < 1 {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(source), "\n"), "\n")
	last := max(at.Last, at.Line)
	if at.Line > len(lines) {
		return ""
	}
	last = min(last, len(lines))
	from, to := max(at.Line-around, 1), min(last+around, len(lines))
	width := len(fmt.Sprint(to))
	var b strings.Builder
	for n := from; n <= to; n++ {
		if failing := n - at.Line; failing == maxLines && last-n > 1 {
			fmt.Fprintf(&b, "> %*s | (%d more lines)\n", width, "", last-n+1)
			n = last
			continue
		}
		mark := ' '
		if n >= at.Line && n <= last {
			mark = '>'
		}
		fmt.Fprintf(&b, "%c %*d |", mark, width, n)
		if line := strings.TrimRight(lines[n-1], "\r"); line != "" {
			b.WriteString(" " + plain(line))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// plain makes control characters of a line visible, but for tabs.
func plain(line string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case r < 0x20 || r == 0x7f:
			return '·'
		case r >= 0x80 && r < 0xa0: // C1 controls, CSI among them
			return '·'
		}
		return r
	}, line)
}
