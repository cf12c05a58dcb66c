package engine

import (
	"bytes"
	"testing"
)

func TestRedact(t *testing.T) {
	secrets := [][]byte{[]byte("abcd\n"), []byte("abcdef"), []byte("first line\nsecond line\n"), []byte("xy"), nil}
	for text, want := range map[string]string{
		"no secret":                        "no secret",
		"abcd":                             "***",
		"<abcdef>":                         "<***>",
		"abcde":                            "***e",
		"ab":                               "ab",
		"first line\nsecond line":          "***",
		"a first line, and second line.":   "a ***, and ***.",
		"xy is too short to be looked for": "xy is too short to be looked for",
	} {
		for size := 1; size <= len(text); size++ {
			var out bytes.Buffer
			r := redact(&out, secrets)
			for rest := []byte(text); len(rest) > 0; {
				n := min(size, len(rest))
				if _, err := r.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := r.Flush(); err != nil {
				t.Fatal(err)
			}
			if out.String() != want {
				t.Errorf("%q by %d bytes: %q, want %q", text, size, out.String(), want)
			}
		}
	}
}
