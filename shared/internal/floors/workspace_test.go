package floors

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const prefix = "github.com/kaniko-suite/kaniko/"

// workspace is the source of all modules that go.work uses.
type workspace struct {
	dir      string
	modules  []string // directories, such as "shared"
	packages map[string]*pkg
}

// pkg is a directory with Go files. Files for other systems count as well.
type pkg struct {
	path  string // below the workspace: "shared/tree"
	files []*file
}

type file struct {
	*ast.File
	name    string // below the workspace
	test    bool
	imports []imported
	fset    *token.FileSet
}

type imported struct {
	path string // of one of ours: without the prefix
	ours bool
	at   string
}

func (f *file) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.name, f.fset.Position(pos).Line)
}

// imports are those of the package's files, or of its tests'.
func (p *pkg) imports(test bool) []imported {
	var all []imported
	for _, f := range p.files {
		if f.test == test {
			all = append(all, f.imports...)
		}
	}
	return all
}

// root is the workspace's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		marker := filepath.Join(dir, "MODULE.bazel")
		if _, err := os.Stat(marker); err == nil {
			real, err := filepath.EvalSymlinks(marker)
			if err != nil {
				t.Fatal(err)
			}
			return filepath.Dir(real)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no MODULE.bazel in any directory above")
		}
	}
}

func load(t *testing.T) *workspace {
	t.Helper()
	w := &workspace{dir: root(t), packages: map[string]*pkg{}}
	work, err := os.ReadFile(filepath.Join(w.dir, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^(?:use)?\s*\./(\S+)$`).FindAllStringSubmatch(string(work), -1) {
		w.modules = append(w.modules, m[1])
	}
	if want := []string{"cachegc", "executor", "inspect", "shared", "warmer"}; !slices.Equal(w.modules, want) {
		t.Fatalf("go.work uses %q, want %q", w.modules, want)
	}
	for _, module := range w.modules {
		err := filepath.WalkDir(filepath.Join(w.dir, module), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")) {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(name, ".go") {
				return nil
			}
			return w.parse(name)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(w.packages) < 10 {
		t.Fatalf("found only %d packages in %s", len(w.packages), w.dir)
	}
	return w
}

func (w *workspace) parse(name string) error {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(w.dir, name)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	f := &file{File: syntax, name: rel, test: strings.HasSuffix(rel, "_test.go"), fset: fset}
	for _, spec := range syntax.Imports {
		to, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		short, ours := strings.CutPrefix(to, prefix)
		f.imports = append(f.imports, imported{short, ours, f.at(spec.Pos())})
	}
	dir := path.Dir(rel)
	if w.packages[dir] == nil {
		w.packages[dir] = &pkg{path: dir}
	}
	w.packages[dir].files = append(w.packages[dir].files, f)
	return nil
}

// sorted is all packages in the order of their paths.
func (w *workspace) sorted() []*pkg {
	var all []*pkg
	for _, p := range w.packages {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *pkg) int { return strings.Compare(a.path, b.path) })
	return all
}

// below says whether an import path is dir or in it.
func below(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func belowAny(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return below(p, dir) })
}
