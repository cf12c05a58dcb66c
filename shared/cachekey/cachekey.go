// Package cachekey holds the text that a cached result depends on, and its hash.
// It owns the form of the text, so that two different inputs never make the same
// one, and tells in words what differs between two. What stands in it is for those
// who know what a result depends on.
package cachekey

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
)

// version begins every definition. It changes with the meaning of what follows,
// so that entries of another meaning are not found.
const version = "kaniko-cache 1"

// A Definition is the text that a result depends on: lines of fields, separated by
// single spaces. A field stands as it is if it is made of letters, digits and the
// characters of paths and digests only, and else as a Go string literal. So a list
// of lists of strings makes exactly one text, and a text comes from exactly one.
//
//	kaniko-cache 1
//	parent sha256:1f…
//	run /bin/sh -c "make all"
//	env PATH /usr/bin:/bin
//	file 0644 sha256:9c… src/main.go
type Definition string

// A Key is the SHA-256 of a definition's text, in 64 lower-case hexadecimal digits.
type Key string

// Key is the definition's.
func (d Definition) Key() Key {
	h := sha256.New()
	io.WriteString(h, string(d)) //nolint:errcheck // a hash takes everything
	return Key(hex.EncodeToString(h.Sum(nil)))
}

// ParseKey reads a key, with or without "sha256:" before it.
func ParseKey(s string) (Key, error) {
	digits := strings.TrimPrefix(s, "sha256:")
	if raw, err := hex.DecodeString(digits); err != nil || len(raw) != sha256.Size || strings.ToLower(digits) != digits {
		return "", fmt.Errorf("%q is not a cache key: 64 digits 0-9 and a-f", s)
	}
	return Key(digits), nil
}

// Digest is the key as a digest: that of the definition's bytes.
func (k Key) Digest() string { return "sha256:" + string(k) }

// A Text is lines that are to become part of definitions.
type Text struct{ lines strings.Builder }

// Line adds a line. Its first field, word, says what the others are.
func (t *Text) Line(word string, fields ...string) {
	writeField(&t.lines, word)
	for _, f := range fields {
		t.lines.WriteByte(' ')
		writeField(&t.lines, f)
	}
	t.lines.WriteByte('\n')
}

// A Writer puts a definition together.
type Writer struct{ Text }

// NewWriter begins a definition.
func NewWriter() *Writer {
	w := &Writer{}
	w.lines.WriteString(version + "\n")
	return w
}

// Append adds the lines of t.
func (w *Writer) Append(t *Text) { w.lines.WriteString(t.lines.String()) }

// Definition is what was written so far.
func (w *Writer) Definition() Definition { return Definition(w.lines.String()) }

func writeField(w *strings.Builder, field string) {
	if isPlain(field) {
		w.WriteString(field)
	} else {
		w.WriteString(strconv.Quote(field))
	}
}

func quote(s string) string {
	if isPlain(s) {
		return s
	}
	return strconv.Quote(s)
}

func isPlain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '/', c == '.', c == '-', c == '_', c == ':', c == '@', c == '+', c == '=', c == ',', c == '%', c == '*':
		default:
			return false
		}
	}
	return s != ""
}

// errForm says that a text is no definition that this package wrote.
var errForm = errors.New("not a cache definition of this version")

// Lines are the definition's lines as fields, of which each has one at least, without
// the line that gives the version. A text that is not a definition has an error, possibly after lines.
func (d Definition) Lines() iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		text, ok := strings.CutPrefix(string(d), version+"\n")
		if !ok || text != "" && !strings.HasSuffix(text, "\n") {
			yield(nil, errForm)
			return
		}
		for line := range strings.Lines(text) {
			fields, err := split(strings.TrimSuffix(line, "\n"))
			if !yield(fields, err) || err != nil {
				return
			}
		}
	}
}

// split takes a line apart, and refuses one that Line would have written in
// another way.
func split(line string) ([]string, error) {
	var fields []string
	for rest := line; ; {
		var raw string
		if strings.HasPrefix(rest, `"`) {
			var err error
			if raw, err = strconv.QuotedPrefix(rest); err != nil {
				return nil, errForm
			}
		} else {
			raw, _, _ = strings.Cut(rest, " ")
		}
		field := raw
		if strings.HasPrefix(raw, `"`) {
			field, _ = strconv.Unquote(raw)
		}
		if quote(field) != raw {
			return nil, errForm
		}
		fields = append(fields, field)
		rest = rest[len(raw):]
		if rest == "" {
			return fields, nil
		}
		if rest[0] != ' ' {
			return nil, errForm
		}
		rest = rest[1:]
	}
}
