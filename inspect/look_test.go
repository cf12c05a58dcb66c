package main

import (
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// Commands that look at an image read no layer for it, and of one with an index only
// that and what is asked for.
func TestLook_requests(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Referrers: true})
	large := []string{"etc/passwd=root", "var/large=@8000000", "layer", "app/main=main", "app/more=@3000000"}
	for _, by := range []string{"gzip", "estargz", "zstd:chunked"} {
		push(t, s.Host()+"/app:"+strings.ReplaceAll(by, ":", "-"), imageOf(t, append([]string{"by=" + by}, large...)))
	}
	for _, c := range []struct {
		name string
		args []string
		says string
		// How often blobs are asked for whole and in part; a configuration is one that is
		// read whole.
		whole, parts int
		// How often manifests are, and lists of referrers.
		manifests, lists int
	}{
		{"digest", []string{"digest", "gzip"}, "sha256:", 0, 0, 1, 0},
		{"show", []string{"show", "gzip"}, "linux/amd64", 1, 0, 4, 1},
		{"show without what is attached", []string{"show", "--attached=false", "gzip"}, "linux/amd64", 1, 0, 1, 0},
		{"tree", []string{"tree", "gzip"}, "sha256:", 0, 0, 4, 1},
		{"layers", []string{"layers", "gzip"}, "gzip", 1, 0, 1, 0},
		{"layers and their files", []string{"layers", "--files", "gzip"}, "/app/main", 3, 0, 1, 0},
		{"layers and their files by the index", []string{"layers", "--files", "estargz"}, "/app/main", 1, 4, 1, 0},
		{"base", []string{"base", "--candidate", s.Host() + "/app:zstd-chunked", "gzip"}, "by layers", 2, 0, 2, 0},
		{"ls", []string{"ls", "gzip", "/app"}, "/app/main", 3, 0, 1, 0},
		{"ls by the index", []string{"ls", "zstd-chunked", "/app"}, "/app/main", 1, 4, 1, 0},
		{"cat from the top layer", []string{"cat", "gzip", "/app/main"}, "main", 2, 0, 1, 0},
		{"cat from below", []string{"cat", "gzip", "/etc/passwd"}, "root", 3, 0, 1, 0},
		{"cat by the index", []string{"cat", "estargz", "/app/main"}, "main", 1, 3, 1, 0},
		{"cat from below by the index", []string{"cat", "estargz", "/etc/passwd"}, "root", 1, 5, 1, 0},
		{"cat of zstd:chunked", []string{"cat", "zstd-chunked", "/app/main"}, "main", 1, 3, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.Forget()
			args := strings.Fields(strings.Join(c.args, " "))
			for i, a := range args {
				if a == "gzip" || a == "estargz" || a == "zstd-chunked" {
					args[i] = s.Host() + "/app:" + a
				}
			}
			status, out := inspect(t, args...)
			if status != 0 || !strings.Contains(out, c.says) {
				t.Errorf("status %d: %s", status, out)
			}
			whole, parts := s.Count("GET blob app 200"), s.Count("GET blob app 206")
			manifests, lists := s.Count("GET manifest")+s.Count("HEAD manifest"), s.Count("GET referrers")
			if whole != c.whole || parts != c.parts || manifests != c.manifests || lists != c.lists {
				t.Errorf("%d blobs whole, %d in part, %d manifests, %d lists:\n%s", whole, parts, manifests, lists, strings.Join(s.Requests(), "\n"))
			}
		})
	}
}

// A registry that does not know ranges sends the layer whole, and the answer is the
// same.
func TestCat_withoutRanges(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{NoRanges: true})
	push(t, s.Host()+"/app:1", imageOf(t, []string{"by=estargz", "etc/passwd=root", "etc/note=1"}))
	for _, args := range [][]string{{"cat", s.Host() + "/app:1", "/etc/passwd"}, {"ls", s.Host() + "/app:1", "/etc"}} {
		if status, out := inspect(t, args...); status != 0 || strings.Contains(out, "stargz") || !strings.Contains(out, "root") && !strings.Contains(out, "/etc/passwd") {
			t.Errorf("%v: status %d: %s", args, status, out)
		}
	}
	if status, out := inspect(t, "layers", "--files", s.Host()+"/app:1"); status != 0 || !strings.Contains(out, "it was read whole: ") {
		t.Errorf("status %d: %s", status, out)
	}
}
