package floors

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// The README's tables have the flags that the programs have.
func TestReadme(t *testing.T) {
	w := load(t)
	readme, err := os.ReadFile(filepath.Join(w.dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{"executor/internal/cli", "warmer/internal/cli", "inspect/internal/cli", "shared/registry", "shared/command", "shared/trace"} {
		for _, f := range w.packages[dir].files {
			for _, name := range flagNames(f) {
				found++
				if !regexp.MustCompile("`--" + regexp.QuoteMeta(name) + "[` ]").Match(readme) {
					t.Errorf("README.md does not say what --%s is for (%s)", name, f.name)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("found only %d flags", found)
	}
}

// flagNames are the names in calls such as fs.StringVar(&v, "name", …).
func flagNames(f *file) []string {
	var names []string
	if f.test {
		return nil
	}
	ast.Inspect(f.File, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 3 {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !strings.HasSuffix(method.Sel.Name, "Var") && !strings.HasSuffix(method.Sel.Name, "VarP") {
			return true
		}
		if literal, ok := call.Args[1].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if name, err := strconv.Unquote(literal.Value); err == nil {
				names = append(names, name)
			}
		}
		return true
	})
	return names
}

// docs/tracing.md has every attribute and metric that is told.
func TestTracing(t *testing.T) {
	w := load(t)
	page, err := os.ReadFile(filepath.Join(w.dir, "docs", "tracing.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range w.packages["shared/trace"].files {
		if f.test {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			name, err := strconv.Unquote(literal.Value)
			if err != nil || !regexp.MustCompile(`^(kaniko|http|server|url|error|process)\.[a-z._]+$`).MatchString(name) {
				return true
			}
			found++
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/tracing.md does not say what %s is (%s)", name, f.name)
			}
			return true
		})
	}
	if found < 30 {
		t.Errorf("found only %d names", found)
	}
	for _, cause := range cachekey.Causes() {
		if !strings.Contains(string(page), "`"+string(cause)+"`") {
			t.Errorf("docs/tracing.md does not say what %q means", cause)
		}
	}
}

// docs/lint.md has a heading for each rule, to which reports link, and for no other.
func TestLint(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "lint.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{"DockerfileError": true}
	for _, r := range dockerfile.Rules() {
		told[r.Name] = true
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(string(page), -1) {
		if !told[heading[1]] {
			t.Errorf("docs/lint.md has a rule %s, or has it twice", heading[1])
		}
		delete(told, heading[1])
	}
	for name := range told {
		t.Errorf("docs/lint.md says nothing of %s", name)
	}
}

// docs/dependencies.md has a reason for each direct dependency, and for no other.
func TestDependencies_explained(t *testing.T) {
	dir := root(t)
	data, err := os.ReadFile(filepath.Join(dir, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	direct := map[string]bool{}
	for _, module := range []string{"shared", "executor", "warmer", "cachegc", "inspect"} {
		mod, err := os.ReadFile(filepath.Join(dir, module, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
			if !strings.HasPrefix(m[1], prefix) {
				direct[m[1]] = true
			}
		}
	}
	for m := range direct {
		if !strings.Contains(doc, m) {
			t.Errorf("docs/dependencies.md does not mention %s", m)
		}
	}
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z]+\.[a-z]+/[^|]+) \|`).FindAllStringSubmatch(doc, -1) {
		for _, m := range strings.Split(row[1], ", ") {
			if !direct[m] {
				t.Errorf("docs/dependencies.md has %s, which no go.mod requires directly", m)
			}
		}
	}
}
