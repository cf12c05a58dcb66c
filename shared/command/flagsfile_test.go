package command

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func TestFlagsFile(t *testing.T) {
	for _, tc := range []struct {
		name string
		text string
		args []string
		env  map[string]string
		want map[string]string // beside the defaults
		code Code
		says string
	}{
		{name: "empty"},
		{name: "names and values", text: "# what\n\ntarPath=a b = c\n  --no-push\r\nlabel=a=1\nlabel=b=2,3", want: map[string]string{"tarPath": "a b = c", "no-push": "true", "label": `[a=1,"b=2,3"]`}},
		{name: "other spelling", text: "tar-path=a", want: map[string]string{"tarPath": "a"}},
		{name: "a value that is empty", text: "kaniko-dir=", args: []string{}, want: map[string]string{"kaniko-dir": ""}},
		{name: "the command line goes before", text: "label=a=1\ntarPath=a", args: []string{"--label=c=3"}, want: map[string]string{"label": "[c=3]", "tarPath": "a"}},
		{name: "the environment goes before", text: "tarPath=a", env: map[string]string{"KANIKO_TAR_PATH": "b"}, want: map[string]string{"tarPath": "b"}},
		{name: "no value", text: "tarPath", code: Usage, says: "flags:1: --tarPath needs a value"},
		{name: "no such flag", text: "\nno-such=1", code: Usage, says: "flags:2: there is no flag --no-such"},
		{name: "not from a file", text: "password=p", code: Usage, says: "--password is for the command line only"},
		{name: "not another file", text: "flags-file=other", code: Usage, says: "--flags-file is for the command line only"},
		{name: "wrong", text: "no-push=maybe", code: Usage, says: `flags:1: invalid argument "maybe" for "--no-push" flag`},
		{name: "not a text", text: "a\x00b", code: NoInput, says: "flags: not a text"},
		{name: "too much", text: strings.Repeat("#\n", mostFlags/2+1), code: NoInput, says: "flags: more than 1048576 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "flags")
			if err := os.WriteFile(file, []byte(tc.text), 0o644); err != nil {
				t.Fatal(err)
			}
			got, said, code := fromFile(file, tc.args, tc.env)
			if code != tc.code || !strings.Contains(said, tc.says) {
				t.Fatalf("status %d, want %d with %q:\n%s", code, tc.code, tc.says, said)
			}
			if tc.code != OK {
				return
			}
			want := map[string]string{"tarPath": "", "no-push": "false", "label": "[]", "kaniko-dir": "", "password": ""}
			for k, v := range tc.want {
				want[k] = v
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFlagsFile_missing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flags")
	_, said, code := fromFile(file, nil, nil)
	if want := "read the flags in " + file + ": no such file or directory"; code != NoInput || !strings.Contains(said, want) {
		t.Errorf("status %d, want %d with %q:\n%s", code, NoInput, want, said)
	}
}

func fromFile(file string, args []string, env map[string]string) (got map[string]string, said string, code Code) {
	got = map[string]string{}
	p := flagged(got)
	inner := p.New
	p.New = func(env *Env) *cobra.Command {
		root := inner(env)
		BindFlagsFile(root.Flags())
		return root
	}
	var out bytes.Buffer
	code = p.run(context.Background(), &Env{
		Args: append([]string{"--flags-file=" + file}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	return got, out.String(), code
}
