package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// inspect runs the program, which this test's is too under another name, and returns
// its status and what it printed.
func inspect(t *testing.T, args ...string) (int, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args = append([]string{"inspect"}, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// Diff asks a registry for no more than it takes.
func TestDiff_requests(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	large := []string{"etc/passwd=root", "var/large=@8000000", "etc/note=one\\ntwo\\n", "layer", "app/main=main"}
	changed := []string{"etc/passwd=root", "var/large=@8000000", "etc/note=one\\n2\\n", "layer", "app/main=main"}
	for _, by := range []string{"gzip", "zstd", "estargz", "zstd:chunked"} {
		name := s.Host() + "/app:" + strings.ReplaceAll(by, ":", "-")
		push(t, name, imageOf(t, append([]string{"by=" + by}, large...)))
		push(t, name+"-again", imageOf(t, append([]string{"by=" + by}, large...)))
		push(t, name+"-changed", imageOf(t, append([]string{"by=" + by}, changed...)))
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		says   string
		// How often blobs may be asked for whole and in part: configurations, two of
		// them, are always read whole.
		whole, parts, manifests int
	}{
		{"the same digest", []string{"gzip", "gzip-again"}, 0, "identical", 0, 0, 2},
		{"by digest alone", []string{"gzip", "zstd", "--level", "digest"}, 1, "digest", 0, 0, 6},
		{"only compressed in another way", []string{"gzip", "zstd", "--preset", "semantic", "--level", "content"}, 0, "they were not read", 2, 0, 6},
		{"with an index, the same content", []string{"zstd", "zstd-chunked", "--preset", "semantic"}, 0, "they were not read", 2, 0, 6},
		{"a file of a layer", []string{"gzip", "gzip-changed"}, 1, "/etc/note", 4, 0, 6},
		{"and its lines", []string{"gzip", "gzip-changed", "--level", "content"}, 1, "+2\n", 6, 0, 6},
		{"a file of an indexed layer", []string{"estargz", "estargz-changed"}, 1, "/etc/note", 2, 4, 6},
		{"and its lines, by the file alone", []string{"estargz", "estargz-changed", "--level", "content"}, 1, "+2\n", 2, 6, 6},
		{"a file of zstd:chunked", []string{"zstd-chunked", "zstd-chunked-changed"}, 1, "/etc/note", 2, 4, 6},
		{"and its lines, likewise", []string{"zstd-chunked", "zstd-chunked-changed", "--level", "content"}, 1, "+2\n", 2, 6, 6},
		{"as trees", []string{"gzip", "zstd", "--preset", "semantic", "--squash"}, 0, "they were not read", 2, 0, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.Forget()
			args := []string{"diff", s.Host() + "/app:" + c.args[0], s.Host() + "/app:" + c.args[1]}
			status, out := inspect(t, append(args, c.args[2:]...)...)
			if status != c.status || !strings.Contains(out, c.says) {
				t.Errorf("status %d: %s", status, out)
			}
			whole, parts := s.Count("GET blob app 200"), s.Count("GET blob app 206")
			manifests := s.Count("GET manifest") + s.Count("HEAD manifest")
			if whole != c.whole || parts != c.parts || manifests > c.manifests {
				t.Errorf("%d blobs whole, %d in part, %d manifests:\n%s", whole, parts, manifests, strings.Join(s.Requests(), "\n"))
			}
		})
	}
}

// A registry that does not know ranges sends layers whole, and diff says so.
func TestDiff_withoutRanges(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{NoRanges: true})
	for _, by := range []string{"estargz", "zstd:chunked"} {
		name := s.Host() + "/app:" + strings.ReplaceAll(by, ":", "-")
		push(t, name, imageOf(t, []string{"by=" + by, "etc/passwd=root", "etc/note=1"}))
		push(t, name+"-changed", imageOf(t, []string{"by=" + by, "etc/passwd=root", "etc/note=2"}))
		status, out := inspect(t, "diff", "--level", "content", name, name+"-changed")
		if status != 1 || !strings.Contains(out, "/etc/note") || !strings.Contains(out, "different: 1 difference") || !strings.Contains(out, "+2\n") || !strings.Contains(out, "layers were read whole") {
			t.Errorf("%s: status %d: %s", by, status, out)
		}
	}
}
