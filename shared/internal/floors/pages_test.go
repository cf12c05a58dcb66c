package floors

import (
	"crypto/x509"
	"fmt"
	"go/ast"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// Each message that docs/troubleshooting.md has in a heading, in code font, is one of
// ours, where … stands for what differs; or one of those that others have.
func TestTroubleshooting(t *testing.T) {
	w := load(t)
	page, err := os.ReadFile(filepath.Join(w.dir, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	messages := append(w.messages(), foreign()...)
	found := 0
	for _, heading := range regexp.MustCompile(`(?m)^#### (.*)$`).FindAllStringSubmatch(string(page), -1) {
		for _, quoted := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(heading[1], -1) {
			found++
			want := regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(quoted[1]), "…", ".+"))
			if !anyMatches(want, messages) {
				t.Errorf("docs/troubleshooting.md explains %q, which no program says", quoted[1])
			}
		}
	}
	if found < 40 {
		t.Errorf("found only %d messages", found)
	}
}

func anyMatches(want *regexp.Regexp, texts []string) bool {
	for _, text := range texts {
		if want.MatchString(text) {
			return true
		}
	}
	return false
}

// foreign are messages of the kernel, of Go's library, and of the parser of Dockerfiles.
func foreign() []string {
	texts := []string{
		syscall.ENOSPC.Error(), syscall.ECONNREFUSED.Error(), http.ErrSchemeMismatch.Error(), x509.UnknownAuthorityError{}.Error(),
		"no such host", // package net does not export it
	}
	for _, status := range []int{401, 403, 404, 413, 429} {
		texts = append(texts, fmt.Sprintf("%d %s", status, http.StatusText(status)))
	}
	if _, err := dockerfile.Parse("Dockerfile", []byte("FROM scratch\nUNHEARD of\n")); err != nil {
		texts = append(texts, err.Error())
	}
	return texts
}

// messages are the texts in the sources, those that are put together by + as one: what is
// no literal in them is "%s".
func (w *workspace) messages() []string {
	var texts []string
	for _, p := range w.packages {
		for _, f := range p.files {
			if f.test {
				continue
			}
			ast.Inspect(f.File, func(n ast.Node) bool {
				e, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				text, ok := literal(e)
				if ok {
					texts = append(texts, text)
				}
				return !ok
			})
		}
	}
	return texts
}

// literal is the text of a string, or of a sum in which there is one.
func literal(e ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		x, left := literal(e.X)
		y, right := literal(e.Y)
		if !left && !right {
			return "", false
		}
		return orVerb(x, left) + orVerb(y, right), true
	}
	return "", false
}

func orVerb(text string, ok bool) string {
	if !ok {
		return "%s"
	}
	return text
}

// Where a page says that a listing of it is run by a test, there is such a test.
func TestListings(t *testing.T) {
	w := load(t)
	for _, name := range []string{"README.md", filepath.Join("docs", "tutorial.md")} {
		page, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`<!-- run by (\w+) in ([\w/]+) -->`).FindAllStringSubmatch(string(page), -1) {
			if !w.hasTest(m[2], m[1]) {
				t.Errorf("%s: there is no %s in %s", name, m[1], m[2])
			}
		}
	}
}

func (w *workspace) hasTest(dir, name string) bool {
	p := w.packages[dir]
	if p == nil {
		return false
	}
	for _, f := range p.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && fn.Name.Name == name {
				return true
			}
		}
	}
	return false
}

// Links from one page of the documentation to another, and to a heading of it, lead somewhere.
func TestLinks(t *testing.T) {
	dir := root(t)
	pages, err := filepath.Glob(filepath.Join(dir, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(pages, filepath.Join(dir, "README.md")) {
		for _, m := range regexp.MustCompile(`\]\(([^():]+)\)`).FindAllStringSubmatch(proseOf(t, path), -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", filepath.Base(path), m[1])
				continue
			}
			if anchor != "" && !anchors(proseOf(t, target))[anchor] {
				t.Errorf("%s links to %s, and there is no such heading", filepath.Base(path), m[1])
			}
		}
	}
}

// proseOf is a page without its listings.
func proseOf(t *testing.T, path string) string {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(string(page), "")
}

// anchors are those that a page's headings have, as GitHub makes them.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}
