package conformance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for in, want := range map[string][]string{
		`file /a text="a b\n"`:         {"file", "/a", "text=a b\n"},
		"  dir\t/x  ":                  {"dir", "/x"},
		`file "/a \"q\"" x="1""2" y=3`: {"file", `/a "q"`, "x=12", "y=3"},
		`f "" b`:                       {"f", "", "b"},
		`f "\xff"`:                     {"f", "\xff"},
	} {
		got, err := words(in)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	if _, err := words(`a "b`); err == nil {
		t.Error("an open quotation is no error")
	}
}

func TestParseLines_errors(t *testing.T) {
	for in, want := range map[string]string{
		"file":                              "of what",
		"file /a mode":                      "KEY=VALUE",
		"file /a colour=red":                "unknown key",
		"end":                               "without a tar",
		"tar a\nfile x":                     "without its end",
		"\n\nfile /a \"open":                "line 3",
		"file /a mode=9":                    "mode=9",
		"thing /a":                          "unknown kind",
		"symlink /a":                        "needs to=",
		"file /a repeat=x size=99999999999": "at most",
	} {
		lines, err := parseLines(in)
		for _, l := range lines {
			if err == nil {
				_, err = l.node()
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestContent(t *testing.T) {
	for in, want := range map[string]string{
		`file a`:                        "",
		`file a text=x`:                 "x",
		`file a text=x size=3`:          "x\x00\x00",
		`file a text=x offset=2`:        "\x00\x00x",
		`file a text=x offset=1 size=4`: "\x00x\x00\x00",
		`file a repeat=ab size=5`:       "ababa",
		`file a hex=00ff`:               "\x00\xff",
		`file a base64="aGk="`:          "hi",
		`file a size=2`:                 "\x00\x00",
		`file a text="longer" size=1`:   "longer",
	} {
		lines, err := parseLines(in)
		if err != nil {
			t.Fatal(err)
		}
		n, err := lines[0].node()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := n.content.copyTo(&b); err != nil || b.String() != want || n.content.size != int64(len(want)) {
			t.Errorf("%s: %q of size %d, %v", in, b.String(), n.content.size, err)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, in := range []string{"2020-01-02", "2020-01-02T03:04:05Z", "2020-01-02T03:04:05.6Z", "@253402300800", "@-62167219201.5"} {
		at, now, err := parseTime(in)
		if err != nil || now {
			t.Fatalf("%s: %v", in, err)
		}
		if got := formatTime(at); got != in {
			t.Errorf("%s becomes %s", in, got)
		}
	}
	if _, now, err := parseTime("now"); !now || err != nil {
		t.Error("now is not now")
	}
	if _, _, err := parseTime("yesterday"); err == nil {
		t.Error("yesterday is a time")
	}
}

func TestTarBytes(t *testing.T) {
	lines, err := parseLines(`tar a compress=gzip
		file ../x mode=4755 owner=1:2 text=x mtime=2001-02-03
		dir d
		link h to=../x
		symlink s to=/abs
		char c dev=1:3
		file "odd name" xattr:user.a=v
	end
	file after`)
	if err != nil || len(lines) != 2 {
		t.Fatal(lines, err)
	}
	data, err := tarBytes(lines[0])
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%c %s %o %d:%d %s %d:%d %s %s", h.Typeflag, h.Name, h.Mode, h.Uid, h.Gid, h.Linkname, h.Devmajor, h.Devminor,
			h.ModTime.UTC().Format("2006-01-02"), h.PAXRecords["SCHILY.xattr.user.a"]))
	}
	want := []string{
		"0 ../x 4755 1:2  0:0 2001-02-03 ",
		"5 d/ 755 0:0  0:0 2020-01-01 ",
		"1 h 644 0:0 ../x 0:0 2020-01-01 ",
		"2 s 777 0:0 /abs 0:0 2020-01-01 ",
		"3 c 644 0:0  1:3 2020-01-01 ",
		"0 odd name 644 0:0  0:0 2020-01-01 v",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
