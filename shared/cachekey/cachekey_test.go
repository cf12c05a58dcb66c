package cachekey

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// write is the definition of these lines.
func write(lines ...[]string) Definition {
	w := NewWriter()
	for _, l := range lines {
		w.Line(l[0], l[1:]...)
	}
	return w.Definition()
}

func read(t *testing.T, d Definition) [][]string {
	t.Helper()
	var lines [][]string
	for fields, err := range d.Lines() {
		if err != nil {
			t.Fatalf("%q: %v", d, err)
		}
		lines = append(lines, fields)
	}
	return lines
}

func TestDefinition_form(t *testing.T) {
	got := write(
		[]string{"run", "/bin/sh", "-c", "make all"},
		[]string{"env", "PATH", "/usr/bin:/bin"},
		[]string{"", " ", `"`, "\n", "\\", "\xff", "\uFFFD", "é", "\x00", "\u2028", "a'b", "$(x)"},
		[]string{"offline"},
	)
	want := "kaniko-cache 1\n" +
		"run /bin/sh -c \"make all\"\n" +
		"env PATH /usr/bin:/bin\n" +
		`"" " " "\"" "\n" "\\" "\xff" "�" "é" "\x00" "\u2028" "a'b" "$(x)"` + "\n" +
		"offline\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if key, sum := got.Key(), fmt.Sprintf("%x", sha256.Sum256([]byte(want))); string(key) != sum || key.Digest() != "sha256:"+sum {
		t.Errorf("key %s, digest %s, want %s", key, key.Digest(), sum)
	}
}

// awkward are fields that tempt a form into mixing them up.
func awkward() []string {
	return []string{"", " ", "  ", "a", "b", "a b", `"`, `""`, `"a"`, `\`, `\n`, "\n", "\r\n", "\t", "a\nb", "\x00", "\x7f", "\xff", "\xc3", "\xa9",
		"é", "\uFFFD", "\u202E", "\u2028", "\U0001F600", "kaniko-cache 1", "env", "=", "a=b", "'", "`", "`a`", "#", "$", "{", "~"}
}

func TestDefinition_roundTrip(t *testing.T) {
	seen := map[Definition][][]string{}
	once := func(lines ...[]string) {
		d := write(lines...)
		if other, ok := seen[d]; ok {
			t.Fatalf("%q and %q make the same text %q", other, lines, d)
		}
		seen[d] = lines
		if got := read(t, d); !reflect.DeepEqual(got, lines) {
			t.Fatalf("wrote %q, read %q", lines, got)
		}
	}
	for _, a := range awkward() {
		once([]string{a})
		for _, b := range awkward() {
			once([]string{a, b})
			once([]string{a}, []string{b})
			for _, c := range awkward() {
				once([]string{a, b, c})
				once([]string{a, b}, []string{c})
				once([]string{a}, []string{b, c})
			}
		}
	}
	if got := read(t, NewWriter().Definition()); got != nil {
		t.Errorf("an empty definition has %q", got)
	}
}

func TestLines_refuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                      "",
		"no version":                   "run a\n",
		"another version":              "kaniko-cache 2\nrun a\n",
		"a version that goes on":       "kaniko-cache 10\n",
		"version without end":          "kaniko-cache 1",
		"something before":             " kaniko-cache 1\n",
		"no end of line":               "kaniko-cache 1\nrun a",
		"empty line":                   "kaniko-cache 1\n\n",
		"empty line between":           "kaniko-cache 1\na\n\nb\n",
		"two spaces":                   "kaniko-cache 1\nrun  a\n",
		"space at the end":             "kaniko-cache 1\nrun \n",
		"space at the beginning":       "kaniko-cache 1\n run\n",
		"tab":                          "kaniko-cache 1\nrun\ta\n",
		"carriage return":              "kaniko-cache 1\nrun a\r\n",
		"quoted without need":          "kaniko-cache 1\nrun \"a\"\n",
		"not quoted, with need":        "kaniko-cache 1\nrun $a\n",
		"not quoted, not ASCII":        "kaniko-cache 1\nrun é\n",
		"not quoted, not UTF-8":        "kaniko-cache 1\nrun \xff\n",
		"quotation not closed":         "kaniko-cache 1\nrun \"a b\n",
		"quotation and more":           "kaniko-cache 1\nrun \"a b\"c\n",
		"quoted in the middle":         "kaniko-cache 1\nrun a\"b c\"\n",
		"back quotes":                  "kaniko-cache 1\nrun `a b`\n",
		"other escape of the same":     "kaniko-cache 1\nrun \"\\u0020\"\n",
		"not an escape":                "kaniko-cache 1\nrun \"\\y \"\n",
		"not UTF-8 in quotes":          "kaniko-cache 1\nrun \"\xff\"\n",
		"control character in quotes":  "kaniko-cache 1\nrun \"\x01\"\n",
		"single quotes":                "kaniko-cache 1\nrun 'a'\n",
		"a good line before a bad one": "kaniko-cache 1\nrun a\nrun \n",
	} {
		if err := check(Definition(text)); err == nil {
			t.Errorf("%s: %q was read", name, text)
		}
	}
}

// check reads all of a definition.
func check(d Definition) error {
	for _, err := range d.Lines() {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestParseKey(t *testing.T) {
	digits := strings.Repeat("0123456789abcdef", 4)
	for _, good := range []string{digits, "sha256:" + digits} {
		if key, err := ParseKey(good); err != nil || string(key) != digits {
			t.Errorf("%s: %s, %v", good, key, err)
		}
	}
	for _, bad := range []string{"", "sha256:", digits[1:], digits + "0", strings.ToUpper(digits), "sha512:" + digits, digits[:63] + "g", "sha256:sha256:" + digits} {
		if key, err := ParseKey(bad); err == nil {
			t.Errorf("%s is the key %s", bad, key)
		}
	}
}

// FuzzLines shows that a text is either refused, or what a Writer makes of what was read.
func FuzzLines(f *testing.F) {
	for _, a := range awkward() {
		f.Add(string(write([]string{"run", a})))
		f.Add(version + "\n" + a)
		f.Add(version + "\nenv " + a + "\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := NewWriter()
		for fields, err := range Definition(text).Lines() {
			if err != nil {
				return
			}
			w.Line(fields[0], fields[1:]...)
		}
		if got := w.Definition(); string(got) != text {
			t.Errorf("%q was read, and is written as %q", text, got)
		}
	})
}

// FuzzWriter shows that two lists of lines make different texts if they differ, and
// that a list comes back from its text. The last two arguments say how the bytes are
// cut into fields and lines.
func FuzzWriter(f *testing.F) {
	for i, a := range awkward() {
		f.Add(a+"\x00"+a, strings.Join(awkward()[:i], "\x00\x01"), byte(0), byte(1))
	}
	f.Fuzz(func(t *testing.T, a, b string, field, line byte) {
		cut := func(s string) [][]string {
			var lines [][]string
			for l := range strings.SplitSeq(s, string([]byte{line})) {
				lines = append(lines, strings.Split(l, string([]byte{field})))
			}
			return lines
		}
		first, second := cut(a), cut(b)
		if got := read(t, write(first...)); !reflect.DeepEqual(got, first) {
			t.Errorf("wrote %q, read %q", first, got)
		}
		same := slices.EqualFunc(first, second, slices.Equal[[]string])
		if d, e := write(first...), write(second...); (d == e) != same || (d.Key() == e.Key()) != same {
			t.Errorf("%q and %q are written as %q and %q", first, second, d, e)
		}
	})
}
