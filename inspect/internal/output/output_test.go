package output

import (
	"strings"
	"testing"
)

func TestRows(t *testing.T) {
	r := NewRows("A", "LONGER")
	r.Add("x\x1b[31m\ny", "1")
	r.Add("\u202etxt.exe", "")
	want := "A              LONGER\n" + `x\x1b[31m\ny   1` + "\n" + `\u202etxt.exe` + "\n"
	if got := r.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 1_234_567: "1.2 MB", 5e15: "5000.0 TB"} {
		if got := Size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	if got := Short("at " + digest + "!"); got != "at sha256:0123456789ab…!" {
		t.Error(got)
	}
}

func TestClip(t *testing.T) {
	if got := Clip("a  b\nc d", 5); got != "a b …" {
		t.Errorf("%q", got)
	}
}

func TestWriteJSON(t *testing.T) {
	var b strings.Builder
	if err := WriteJSON(&b, map[string]string{"a": "<&>"}); err != nil || b.String() != "{\n  \"a\": \"<&>\"\n}\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	if Check("yaml", Forms()) == nil || Check(JSON, Forms()) != nil {
		t.Error("forms are not checked")
	}
}
