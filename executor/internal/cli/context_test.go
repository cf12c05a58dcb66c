package cli

import (
	"testing"

	"github.com/spf13/pflag"
)

// A bucket is where kaniko's first releases had build contexts.
func TestContextFlags_where(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string // empty is an error
	}{
		{nil, "/workspace"},
		{[]string{"--context=x"}, "x"},
		{[]string{"--bucket=b"}, "gs://b/context.tar.gz"},
		{[]string{"-b", "b/", "--context=/a/x.tar.gz"}, "gs://b/a/x.tar.gz"},
		{[]string{"--bucket=s3://b", "--context=x.tar.gz"}, "s3://b/x.tar.gz"},
		{[]string{"--bucket=b", "--context=gs://c/x"}, ""},
	} {
		var f contextFlags
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.bind(fs)
		if err := fs.Parse(tc.args); err != nil {
			t.Fatal(err)
		}
		if err := f.check(); (err == nil) != (tc.want != "") {
			t.Errorf("%q: %v", tc.args, err)
		} else if err == nil && f.where() != tc.want {
			t.Errorf("%q: %s, want %s", tc.args, f.where(), tc.want)
		}
	}
}

func TestGitFlag(t *testing.T) {
	var f contextFlags
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.bind(fs)
	if err := fs.Parse([]string{"--git=branch=a,single-branch=true", "--git", "recurse-submodules=true,insecure-skip-tls=true,depth=3"}); err != nil {
		t.Fatal(err)
	}
	if g := f.git; g.branch != "a" || !g.singleBranch || !g.submodules || !g.skipTLS || g.depth != 3 {
		t.Errorf("%+v", g)
	}
	if err := fs.Parse([]string{"--git=depth=0"}); err != nil || f.git.depth != -1 {
		t.Errorf("%+v %v", f.git, err)
	}
	for _, wrong := range []string{"", "branch", "depth=x", "single-branch=maybe", "x=y", "branch=a,,"} {
		if err := fs.Parse([]string{"--git=" + wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
