package progress

import (
	"bytes"
	"strings"
	"sync"
)

// maxLine bounds what is held of a line whose end does not come.
const maxLine = 16 << 10

// lines takes what a command writes, passes it on line by line with a prefix, so
// that commands which run at the same time do not mix, and keeps the last lines.
type lines struct {
	write  func(line string)
	prefix string
	plain  bool // take out what would move a terminal's cursor

	mu      sync.Mutex
	partial []byte
	kept    []string // a ring once it is full
	next    int      // where the ring goes on
}

func (l *lines) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	written := len(data)
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if end >= 0 {
			l.partial = append(l.partial, data[:end]...)
			data = data[end+1:]
			l.emit()
			continue
		}
		room := min(maxLine-len(l.partial), len(data))
		l.partial = append(l.partial, data[:room]...)
		data = data[room:]
		if len(l.partial) >= maxLine {
			l.emit()
		}
	}
	return written, nil
}

// flush passes on a last line that has no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.emit()
	}
}

// last is the last lines, oldest first.
func (l *lines) last() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(append([]string{}, l.kept[l.next:]...), l.kept[:l.next]...)
}

func (l *lines) emit() {
	line := strings.TrimRight(string(l.partial), "\r")
	l.partial = l.partial[:0]
	// Of a line that was written over and over, such as a bar, the last state stays.
	seen := line[strings.LastIndexByte(line, '\r')+1:]
	if len(l.kept) < tailLines {
		l.kept = append(l.kept, seen)
	} else {
		l.kept[l.next] = seen
		l.next = (l.next + 1) % tailLines
	}
	if l.plain {
		line = harmless(seen)
	}
	l.write(l.prefix + line + "\n")
}

// harmless takes control characters out of a line, except tabs and those sequences
// which only colour.
func harmless(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == 0x1b:
			end, colour := sequence(line[i:])
			if colour {
				b.WriteString(line[i : i+end])
			}
			i += end - 1
		case c == '\t' || c >= 0x20 && c != 0x7f:
			b.WriteByte(c)
		}
	}
	if strings.Contains(line, "\x1b[") {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// sequence measures the escape sequence that s begins with, and says whether it
// sets colours.
func sequence(s string) (length int, colour bool) {
	if len(s) < 2 {
		return len(s), false
	}
	switch s[1] {
	case '[': // parameters and intermediates, then one final byte
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1, s[i] == 'm'
			}
		}
		return len(s), false
	case ']', 'P', '^', '_', 'X': // a string, up to BEL or ST
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1, false
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2, false
			}
		}
		return len(s), false
	}
	return 2, false
}
