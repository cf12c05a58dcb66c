package floors

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// variables returns a line for each package-level variable of a file which is none
// of: an error, a compiled regular expression, the seed of a process's hashes, an
// embedded file, a blank that has the compiler check something.
func variables(f *file) []string {
	var wrong []string
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, s := range gen.Specs {
			spec := s.(*ast.ValueSpec)
			if embedded(gen.Doc) || embedded(spec.Doc) {
				continue
			}
			for i, name := range spec.Names {
				if name.Name == "_" || isError(name.Name) || i < len(spec.Values) && isConstant(spec.Values[i]) {
					continue
				}
				wrong = append(wrong, fmt.Sprintf("%s: the package variable %s: what a function needs is an argument or a field", f.at(name.Pos()), name.Name))
			}
		}
	}
	return wrong
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

func isError(name string) bool {
	return regexp.MustCompile(`^[eE]rr[A-Z]`).MatchString(name)
}

// isConstant says whether an expression makes what nothing can change later.
func isConstant(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := function.X.(*ast.Ident)
	if !ok {
		return false
	}
	switch pkg.Name + "." + function.Sel.Name {
	case "regexp.MustCompile", "maphash.MakeSeed":
		return true
	}
	return false
}

func TestVariables(t *testing.T) {
	for _, p := range load(t).sorted() {
		for _, f := range p.files {
			if f.test {
				continue
			}
			for _, wrong := range variables(f) {
				t.Error(wrong)
			}
		}
	}
}

func TestVariables_breaches(t *testing.T) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, "a.go", `package a

import _ "embed"

var ErrMiss = errors.New("miss")
var errOne, errTwo error
var _ I = T{}

//go:embed a.txt
var text string

var (
	pattern = regexp.MustCompile("x")
	seed    = maphash.MakeSeed()
	//go:embed b.txt
	more string

	cache = map[string]int{}
	a, b  = 1, regexp.MustCompile("y")
)

var Errand = 1

func f() { var local int; _ = local }
`, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, line := range variables(&file{File: syntax, name: "a.go", fset: fset}) {
		names = append(names, regexp.MustCompile(`variable (\w+)`).FindStringSubmatch(line)[1])
	}
	if want := []string{"cache", "a", "Errand"}; !slices.Equal(names, want) {
		t.Errorf("found %q, want %q", names, want)
	}
}

// Every package says, once, what it owns.
func TestPackageComments(t *testing.T) {
	for _, p := range load(t).sorted() {
		var comments []string
		name := ""
		for _, f := range p.files {
			if f.test {
				continue
			}
			name = f.Name.Name
			if f.Doc != nil {
				comments = append(comments, f.Doc.Text())
			}
		}
		want := "Package " + name + " "
		if name == "main" {
			want = "Command " + p.path[strings.LastIndexByte(p.path, '/')+1:]
		}
		switch {
		case name == "":
			t.Errorf("%s has only tests: add a doc.go", p.path)
		case len(comments) == 0:
			t.Errorf("%s has no comment %q", p.path, want)
		case len(comments) > 1:
			t.Errorf("%s has %d package comments", p.path, len(comments))
		case !strings.HasPrefix(comments[0], want):
			t.Errorf("the comment of %s begins %.30q, not %q", p.path, comments[0], want)
		}
	}
}

// Go files are as gofmt writes them.
func TestFormat(t *testing.T) {
	w := load(t)
	tools, err := filepath.Glob(filepath.Join(w.dir, "tools", "*", "*.go"))
	if err != nil || len(tools) == 0 {
		t.Fatalf("no Go files in tools: %v", err)
	}
	nested, err := filepath.Glob(filepath.Join(w.dir, "tools", "*", "*", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := append(tools, nested...)
	for _, p := range w.sorted() {
		for _, f := range p.files {
			names = append(names, filepath.Join(w.dir, f.name))
		}
	}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		formatted, err := format.Source(source)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(source, formatted) {
			t.Errorf("%s is not formatted: run make fmt", name)
		}
	}
}
