package conformance

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A line describes a file, or something else of the language that trees, base
// images and repositories are written in: KIND PATH KEY=VALUE…. A word, or a part
// of it, may be quoted as in Go.
type line struct {
	number int
	kind   string
	path   string
	attrs  []attr
	block  []line // of a tar: what is in it
}

type attr struct{ key, value string }

// words splits a line at spaces that are not quoted.
func words(s string) ([]string, error) {
	var out []string
	var word strings.Builder
	in := false
	for s != "" {
		switch s[0] {
		case ' ', '\t':
			if in {
				out = append(out, word.String())
				word.Reset()
				in = false
			}
			s = s[1:]
		case '"':
			quoted, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("a quotation mark without its partner: %s", s)
			}
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", quoted, err)
			}
			word.WriteString(text)
			in = true
			s = s[len(quoted):]
		default:
			word.WriteByte(s[0])
			in = true
			s = s[1:]
		}
	}
	if in {
		out = append(out, word.String())
	}
	return out, nil
}

// parseLines reads the language. The directive "config" takes the rest of its part.
func parseLines(text string) ([]line, error) {
	all := strings.Split(text, "\n")
	stack := [][]line{nil}
	for i := 0; i < len(all); i++ {
		s := strings.TrimSpace(all[i])
		if s == "" || strings.HasPrefix(s, "#") {
			continue
		}
		if rest, ok := strings.CutPrefix(s, "config "); ok {
			l := line{number: i + 1, kind: "config", path: rest}
			for !balanced(l.path) && i+1 < len(all) {
				i++
				l.path += "\n" + all[i]
			}
			stack[len(stack)-1] = append(stack[len(stack)-1], l)
			continue
		}
		w, err := words(s)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if w[0] == "end" && len(w) == 1 {
			if len(stack) == 1 {
				return nil, fmt.Errorf("line %d: an end without a tar", i+1)
			}
			block := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			outer := stack[len(stack)-1]
			outer[len(outer)-1].block = block
			continue
		}
		l, err := parseWords(w)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		l.number = i + 1
		stack[len(stack)-1] = append(stack[len(stack)-1], l)
		if l.kind == "tar" {
			stack = append(stack, nil)
		}
	}
	if len(stack) > 1 {
		return nil, fmt.Errorf("a tar without its end")
	}
	return stack[0], nil
}

// balanced reports whether a JSON text has as many closing braces as opening ones.
func balanced(s string) bool { return strings.Count(s, "{") <= strings.Count(s, "}") }

func parseWords(w []string) (line, error) {
	l := line{kind: w[0]}
	switch l.kind {
	case "applets":
		l.path = strings.Join(w[1:], " ")
		return l, nil
	case "layer", "opaque-root", "schema":
		w = w[1:]
	default:
		if len(w) < 2 {
			return l, fmt.Errorf("%s: of what?", w[0])
		}
		l.path = w[1]
		w = w[2:]
	}
	for _, a := range w {
		key, value, ok := strings.Cut(a, "=")
		if !ok {
			return l, fmt.Errorf("%q is no KEY=VALUE", a)
		}
		if !knownAttr(key) {
			return l, fmt.Errorf("unknown key %q", key)
		}
		l.attrs = append(l.attrs, attr{key, value})
	}
	return l, nil
}

func knownAttr(key string) bool {
	if strings.HasPrefix(key, "xattr:") {
		return true
	}
	switch key {
	case "mode", "owner", "mtime", "text", "hex", "base64", "repeat", "size", "offset", "from", "to", "dev", "sha256", "compress", "format", "media", "status",
		"location", "header", "checkout":
		return true
	}
	return false
}

func (l line) get(key string) (string, bool) {
	for _, a := range l.attrs {
		if a.key == key {
			return a.value, true
		}
	}
	return "", false
}

// node is what a line says about a file, with nothing left to interpret.
type node struct {
	kind     string // file, dir, symlink, link, fifo, char, block, socket, tar
	path     string
	mode     int64
	hasMode  bool
	uid, gid int
	hasOwner bool
	mtime    time.Time // zero: not said
	now      bool
	to       string
	dev      [2]int64
	xattrs   map[string]string
	content  content
	sha256   string
	line     line
}

// content is what is in a file: bytes from offset on, in size bytes altogether, the
// rest of them zero.
type content struct {
	given  bool
	data   []byte
	offset int64
	size   int64
}

// node interprets a line that describes a file.
func (l line) node() (n node, err error) {
	n = node{kind: l.kind, path: l.path, line: l}
	switch l.kind {
	case "file", "tar", "fifo", "char", "block", "socket":
		n.mode = 0o644
	case "dir":
		n.mode = 0o755
	case "symlink", "link":
	default:
		return n, fmt.Errorf("line %d: unknown kind %q", l.number, l.kind)
	}
	size := int64(-1)
	for _, a := range l.attrs {
		if err = n.set(a.key, a.value, &size); err != nil {
			return n, fmt.Errorf("line %d: %s=%s: %w", l.number, a.key, a.value, err)
		}
	}
	if (n.kind == "symlink" || n.kind == "link") && n.to == "" {
		return n, fmt.Errorf("line %d: a %s needs to=", l.number, n.kind)
	}
	c := &n.content
	if end := c.offset + int64(len(c.data)); size < end {
		size = end
	}
	if repeat, ok := l.get("repeat"); ok && repeat != "" {
		if size > maxRepeat {
			return n, fmt.Errorf("line %d: repeat= makes at most %d bytes", l.number, maxRepeat)
		}
		c.data = []byte(strings.Repeat(repeat, int(size)/len(repeat)+1)[:size])
	}
	c.size = size
	return n, nil
}

// maxRepeat bounds what repeat= holds in memory; larger files are sparse.
const maxRepeat = 64 << 20

func (n *node) set(key, value string, size *int64) (err error) {
	if name, ok := strings.CutPrefix(key, "xattr:"); ok {
		if n.xattrs == nil {
			n.xattrs = map[string]string{}
		}
		n.xattrs[name] = value
		return nil
	}
	switch key {
	case "mode":
		n.hasMode = true
		n.mode, err = strconv.ParseInt(value, 8, 32)
	case "owner":
		n.hasOwner = true
		uid, gid, _ := strings.Cut(value, ":")
		if n.uid, err = strconv.Atoi(uid); err == nil {
			n.gid, err = strconv.Atoi(gid)
		}
	case "mtime":
		n.mtime, n.now, err = parseTime(value)
	case "to":
		n.to = value
	case "dev":
		major, minor, _ := strings.Cut(value, ":")
		if n.dev[0], err = strconv.ParseInt(major, 10, 64); err == nil {
			n.dev[1], err = strconv.ParseInt(minor, 10, 64)
		}
	case "text":
		n.content.given, n.content.data = true, []byte(value)
	case "hex":
		n.content.given = true
		n.content.data, err = hex.DecodeString(value)
	case "base64":
		n.content.given = true
		n.content.data, err = base64.StdEncoding.DecodeString(value)
	case "offset":
		n.content.offset, err = strconv.ParseInt(value, 10, 64)
	case "size":
		n.content.given = true
		*size, err = strconv.ParseInt(value, 10, 64)
	case "sha256":
		n.sha256 = value
	}
	return err
}

// parseTime reads now, a date, a date with time, or @SECONDS[.NANOSECONDS] since 1970.
func parseTime(s string) (t time.Time, now bool, err error) {
	if s == "now" {
		return time.Time{}, true, nil
	}
	if at, ok := strings.CutPrefix(s, "@"); ok {
		whole, fraction, _ := strings.Cut(at, ".")
		seconds, err := strconv.ParseInt(whole, 10, 64)
		if err != nil {
			return t, false, err
		}
		nanos := int64(0)
		if fraction != "" {
			if nanos, err = strconv.ParseInt((fraction + "000000000")[:9], 10, 64); err != nil {
				return t, false, err
			}
		}
		return time.Unix(seconds, nanos).UTC(), false, nil
	}
	if t, err = time.Parse("2006-01-02", s); err != nil {
		t, err = time.Parse(time.RFC3339Nano, s)
	}
	return t, false, err
}

// formatTime is the reverse of parseTime.
func formatTime(t time.Time) string {
	t = t.UTC()
	switch {
	case t.Year() < 1 || t.Year() > 9999:
		s := "@" + strconv.FormatInt(t.Unix(), 10)
		if n := t.Nanosecond(); n != 0 {
			s += "." + strings.TrimRight(fmt.Sprintf("%09d", n), "0")
		}
		return s
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.Format("2006-01-02")
	}
	return t.Format(time.RFC3339Nano)
}

// word quotes what would not be one plain word.
func word(s string) string {
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r == '#' || !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
