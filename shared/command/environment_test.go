package command

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// flagged is a program that notes the values of its flags.
func flagged(got map[string]string) Program {
	return Program{Name: "prog", New: func(*Env) *cobra.Command {
		root := &cobra.Command{Use: "prog", Args: cobra.NoArgs}
		fs := root.Flags()
		fs.String("tarPath", "", "")
		fs.Bool("no-push", false, "")
		fs.StringArray("label", nil, "")
		fs.String("kaniko-dir", "", "")
		fs.String("password", "", "")
		Spell(fs, map[string][]string{"tarPath": {"tar-path"}, "no-push": {"push-not"}})
		CommandLineOnly(fs, "password")
		root.RunE = func(c *cobra.Command, _ []string) error {
			for _, name := range []string{"tarPath", "no-push", "label", "kaniko-dir", "password"} {
				got[name] = c.Flag(name).Value.String()
			}
			return nil
		}
		return root
	}}
}

func TestEnvironment(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		env  map[string]string
		want map[string]string // beside the defaults
		code Code
		says string
	}{
		{name: "nothing"},
		{name: "own spelling", env: map[string]string{"KANIKO_TAR_PATH": "a"}, want: map[string]string{"tarPath": "a"}},
		{name: "other spelling", env: map[string]string{"KANIKO_PUSH_NOT": "1"}, want: map[string]string{"no-push": "true"}},
		{name: "the command line goes before", args: []string{"--tar-path=b"}, env: map[string]string{"KANIKO_TAR_PATH": "a"}, want: map[string]string{"tarPath": "b"}},
		{name: "empty is not set", env: map[string]string{"KANIKO_NO_PUSH": ""}},
		{name: "a line each", env: map[string]string{"KANIKO_LABEL": "a=1\nb=2,3\n"}, want: map[string]string{"label": `[a=1,"b=2,3"]`}},
		{name: "not twice kaniko", env: map[string]string{"KANIKO_DIR": "/k"}, want: map[string]string{"kaniko-dir": "/k"}},
		{name: "not by the environment", env: map[string]string{"KANIKO_PASSWORD": "p"}},
		{name: "wrong", env: map[string]string{"KANIKO_NO_PUSH": "maybe"}, code: Usage, says: `$KANIKO_NO_PUSH, which stands for --no-push, is "maybe"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := map[string]string{}
			var said bytes.Buffer
			code := flagged(got).run(context.Background(), &Env{
				Args: tc.args, Stdin: strings.NewReader(""), Stdout: &said, Stderr: &said,
				LookupEnv: func(name string) (string, bool) { v, ok := tc.env[name]; return v, ok },
			})
			if code != tc.code || !strings.Contains(said.String(), tc.says) {
				t.Fatalf("ended in %d, saying %s", code, said.String())
			}
			if code != OK {
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
