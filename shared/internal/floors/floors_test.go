package floors

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A package imports packages of lower floors, and its own children and parents.
// Floor 7 is the programs, in which order is kept as well.
func floors() []floor {
	return []floor{
		{"0", []string{"shared/servertest", "shared/tree", "shared/cachekey", "shared/treediff"}},
		{"1", []string{"shared/layer", "shared/dockerfile"}},
		{"2", []string{"shared/image", "shared/disk", "shared/sandbox", "shared/placement", "shared/ocidir", "shared/sbom"}},
		{"3", []string{"shared/registry", "shared/registry/keychain", "shared/plan"}},
		{"4", []string{"shared/base", "shared/cache"}},
		{"5", []string{"shared/engine"}},
		{"6", []string{"shared/trace", "shared/progress", "shared/timeline", "shared/command"}},
		{"7, at the bottom", []string{"executor/internal/mountsource", "executor/internal/profile", "executor/internal/buildcontext/remote", "cachegc/internal/kind", "cachegc/internal/policy",
			"inspect/internal/source", "inspect/internal/output", "inspect/internal/signed"}},
		{"7, where caches are", []string{"cachegc/internal/place"}},
		{"7, what is in them", []string{"cachegc/internal/inventory"}},
		{"7, what becomes of it", []string{"cachegc/internal/plan"}},
		{"7, layers with an index", []string{"inspect/internal/toc"}},
		{"7, what fetches, and what runs commands", []string{"executor/internal/buildcontext/git", "executor/internal/buildcontext/archive", "executor/internal/buildcontext/object", "executor/internal/reaper"}},
		{"7, object stores", []string{"executor/internal/buildcontext/gcs", "executor/internal/buildcontext/s3", "executor/internal/buildcontext/azblob"}},
		{"7, all of them", []string{"executor/internal/buildcontext/store"}},
		{"7, the parts", []string{
			"executor/internal/buildcontext", "executor/internal/buildcontext/fetch", "executor/internal/buildcontext/ocilayout",
			"executor/internal/inplace", "executor/internal/isolated", "executor/internal/host", "executor/internal/exporter",
			"executor/internal/report", "executor/internal/conformance",
			"warmer/internal/warm", "cachegc/internal/apply", "inspect/internal/compare", "inspect/internal/explain",
			"inspect/internal/describe", "inspect/internal/files",
		}},
		{"7, what accompanies an image", []string{"executor/internal/attest", "executor/internal/sign", "inspect/internal/attached", "inspect/internal/lineage", "inspect/internal/verify"}},
		{"7, what is saved of it", []string{"inspect/internal/extract"}},
		{"7, the command line", []string{"executor/internal/cli", "warmer/internal/cli", "cachegc/internal/cli", "inspect/internal/cli"}},
		{"7, main", []string{"executor", "executor/slim", "warmer", "cachegc", "inspect"}},
		{"no floor: tests only", []string{"shared/internal/floors", "shared/sign/signtest"}},
	}
}

type floor struct {
	name     string
	packages []string
}

// pure packages do no input or output of their own beyond files, and those of the
// lowest floor not even that.
func pure() []string {
	return []string{"shared/tree", "shared/cachekey", "shared/layer", "shared/dockerfile", "shared/image", "shared/placement", "shared/plan"}
}

// restriction says where something from outside may be imported.
type restriction struct {
	imports []string // prefixes of import paths
	allowed func(importer, file string) bool
	where   string
}

func restrictions() []restriction {
	in := func(dirs ...string) func(string, string) bool {
		return func(importer, _ string) bool { return belowAny(importer, dirs) }
	}
	mains := []string{"executor", "warmer", "cachegc", "inspect"}
	return []restriction{{
		imports: []string{"go.opentelemetry.io"},
		allowed: func(importer, _ string) bool { return importer == "shared/trace" || slices.Contains(mains, importer) },
		where:   "shared/trace and the mains",
	}, {
		imports: []string{"cloud.google.com/go", "google.golang.org/api", "github.com/aws", "github.com/awslabs", "github.com/Azure", "github.com/go-git", "golang.org/x/oauth2"},
		allowed: in("shared/registry/keychain", "executor/internal/buildcontext/git", "executor/internal/buildcontext/gcs",
			"executor/internal/buildcontext/s3", "executor/internal/buildcontext/azblob"),
		where: "shared/registry/keychain and executor/internal/buildcontext/{git,gcs,s3,azblob}",
	}, {
		imports: []string{"github.com/sigstore"},
		allowed: in("executor/internal/sign"),
		where:   "executor/internal/sign",
	}, {
		imports: []string{"github.com/moby/buildkit"},
		allowed: in("shared/dockerfile"),
		where:   "shared/dockerfile",
	}, {
		imports: []string{"github.com/spf13/cobra", "github.com/spf13/pflag"},
		allowed: func(importer, file string) bool {
			return strings.HasSuffix(importer, "/internal/cli") || importer == "shared/command" || path.Base(file) == "flags.go"
		},
		where: "*/internal/cli, shared/command and files called flags.go (options own their flags)",
	}, {
		imports: []string{"golang.org/x/sys"},
		allowed: in("shared/disk", "executor/internal/inplace", "executor/internal/isolated", "executor/internal/reaper",
			"executor/internal/mountsource", "executor/internal/host"),
		where: "shared/disk, the locks of host and what drives sandboxes: system calls live there",
	}, {
		imports: []string{"html/template", "text/template"},
		allowed: in("tools"),
		where:   "no program: templates call methods by name, and the linker then keeps all there are (decision 20)",
	}}
}

// heavy modules must not be required by shared: a module's boundary is a boundary
// of weight.
func heavy() []string {
	return []string{"cloud.google.com/go/storage", "google.golang.org/api", "github.com/aws/aws-sdk-go-v2/service/s3",
		"github.com/Azure/azure-sdk-for-go/sdk/storage", "github.com/go-git", "github.com/sigstore"}
}

// level is the floor's place from the bottom.
func level(p string) (int, bool) {
	for i, f := range floors() {
		if slices.Contains(f.packages, p) {
			return i, true
		}
	}
	// What is in a directory of a floor's package and not listed lives with it.
	if parent := path.Dir(p); parent != "." && !strings.HasSuffix(parent, "internal") && !slices.Contains([]string{"shared", "executor", "warmer", "cachegc", "inspect"}, parent) {
		return level(parent)
	}
	return 0, false
}

// helper says whether a package is there for tests, beside what it helps to test.
func helper(p string) bool {
	return strings.HasSuffix(p, "test") && path.Base(p) == path.Base(path.Dir(p))+"test"
}

// check returns a line for each breach of the rules of imports.
func check(w *workspace) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, p := range w.sorted() {
		own, known := level(p.path)
		if !known {
			say("%s is on no floor: give it one in shared/internal/floors", p.path)
			continue
		}
		for _, test := range []bool{false, true} {
			for _, i := range p.imports(test) {
				if !i.ours {
					continue
				}
				if helper(i.path) {
					if !test && !helper(p.path) {
						say("%s: %s imports %s, which is for tests", i.at, p.path, i.path)
					}
					continue
				}
				to, known := level(i.path)
				family := below(i.path, p.path) || below(p.path, i.path)
				switch {
				case !known:
					say("%s: %s imports %s, which is on no floor", i.at, p.path, i.path)
				case test && to <= own, helper(p.path) && to <= own, family && to <= own, to < own:
				default:
					say("%s: %s (floor %s) imports %s (floor %s): imports go down", i.at,
						p.path, floors()[own].name, i.path, floors()[to].name)
				}
			}
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			for _, i := range f.imports {
				for _, r := range restrictions() {
					if belowAny(i.path, r.imports) && !r.allowed(p.path, f.name) {
						say("%s: %s imports %s, which is for %s", i.at, p.path, i.path, r.where)
					}
				}
			}
		}
	}
	for _, from := range pure() {
		banned := func(i string) bool {
			switch {
			case i == "net/url" || i == "net/netip": // text
				return false
			case below(i, "net") || i == "os/exec" || below(i, "golang.org/x/sys"):
				return true
			}
			return i == "os" && slices.Contains(floors()[0].packages, from)
		}
		if chain := w.chain(from, banned); chain != "" {
			say("%s is pure, but: %s", from, chain)
		}
	}
	return wrong
}

// chain is the shortest way from a package, through packages of ours, to an import
// that is banned.
func (w *workspace) chain(from string, banned func(string) bool) string {
	type step struct{ path, trail string }
	seen := map[string]bool{from: true}
	for queue := []step{{from, from}}; len(queue) > 0; queue = queue[1:] {
		p := w.packages[queue[0].path]
		if p == nil {
			continue
		}
		for _, i := range p.imports(false) {
			trail := fmt.Sprintf("%s → %s (%s)", queue[0].trail, i.path, i.at)
			if !i.ours && banned(i.path) {
				return trail
			}
			if i.ours && !seen[i.path] {
				seen[i.path] = true
				queue = append(queue, step{i.path, trail})
			}
		}
	}
	return ""
}

func TestImports(t *testing.T) {
	for _, wrong := range check(load(t)) {
		t.Error(wrong)
	}
}

// The rules are not worth anything if they find nothing: a small workspace that
// breaks each once.
func TestImports_breaches(t *testing.T) {
	w := &workspace{dir: t.TempDir(), packages: map[string]*pkg{}}
	for name, imports := range map[string][]string{
		"shared/tree/a.go":                {"os", "strings"},
		"shared/layer/a.go":               {prefix + "shared/plan"},
		"shared/plan/a.go":                {prefix + "shared/dockerfile"},
		"shared/plan/a_test.go":           {prefix + "shared/plan/plantest", "net/http"},
		"shared/plan/plantest/a.go":       {prefix + "shared/plan", "net/http"},
		"shared/dockerfile/a.go":          {"net/url", "net/http", "github.com/moby/buildkit/frontend/dockerfile/parser"},
		"shared/engine/a.go":              {prefix + "shared/plan/plantest", "go.opentelemetry.io/otel", "github.com/spf13/pflag"},
		"shared/registry/flags.go":        {"github.com/spf13/pflag"},
		"shared/registry/a.go":            {prefix + "shared/registry/keychain", prefix + "shared/plan", "github.com/moby/buildkit/client"},
		"shared/registry/keychain/ecr.go": {"github.com/aws/aws-sdk-go-v2/service/ecr"},
		"shared/base/a.go":                {"golang.org/x/sys/unix", "golang.org/x/system"},
		"shared/strings/a.go":             nil,
		"executor/main.go":                {prefix + "executor/internal/cli", "go.opentelemetry.io/otel", "github.com/sigstore/cosign/v2/pkg/oci"},
		"executor/internal/cli/cli.go":    {prefix + "executor", "github.com/spf13/cobra", "cloud.google.com/go/storage"},
	} {
		source := "package x\n"
		for _, i := range imports {
			source += fmt.Sprintf("import %q\n", i)
		}
		name = filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(source), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := w.parse(name); err != nil {
			t.Fatal(err)
		}
	}
	got := check(w)
	want := []string{
		"executor/main.go:4: executor imports github.com/sigstore/cosign/v2/pkg/oci, which is for executor/internal/sign",
		"executor/internal/cli/cli.go:2: executor/internal/cli (floor 7, the command line) imports executor (floor 7, main): imports go down",
		"executor/internal/cli/cli.go:4: executor/internal/cli imports cloud.google.com/go/storage, which is for shared/registry/keychain and executor/internal/buildcontext/{git,gcs,s3,azblob}",
		"shared/base/a.go:2: shared/base imports golang.org/x/sys/unix, which is for shared/disk, the locks of host and what drives sandboxes: system calls live there",
		"shared/engine/a.go:2: shared/engine imports shared/plan/plantest, which is for tests",
		"shared/engine/a.go:3: shared/engine imports go.opentelemetry.io/otel, which is for shared/trace and the mains",
		"shared/engine/a.go:4: shared/engine imports github.com/spf13/pflag, which is for */internal/cli, shared/command and files called flags.go (options own their flags)",
		"shared/layer/a.go:2: shared/layer (floor 1) imports shared/plan (floor 3): imports go down",
		"shared/registry/a.go:3: shared/registry (floor 3) imports shared/plan (floor 3): imports go down",
		"shared/registry/a.go:4: shared/registry imports github.com/moby/buildkit/client, which is for shared/dockerfile",
		"shared/strings is on no floor: give it one in shared/internal/floors",
		"shared/tree is pure, but: shared/tree → os (shared/tree/a.go:2)",
		"shared/layer is pure, but: shared/layer → shared/plan (shared/layer/a.go:2) → shared/dockerfile (shared/plan/a.go:2) → net/http (shared/dockerfile/a.go:3)",
		"shared/dockerfile is pure, but: shared/dockerfile → net/http (shared/dockerfile/a.go:3)",
		"shared/plan is pure, but: shared/plan → shared/dockerfile (shared/plan/a.go:2) → net/http (shared/dockerfile/a.go:3)",
	}
	slices.Sort(got)
	slices.Sort(want)
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("not expected: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("not found: %s", line)
		}
	}
}

// shared is what all programs link, and what others may want to use.
func TestModules(t *testing.T) {
	dir := root(t)
	required := regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) v\S+`)
	goMod, err := os.ReadFile(filepath.Join(dir, "shared", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	modules := required.FindAllStringSubmatch(string(goMod), -1)
	if len(modules) < 10 {
		t.Fatalf("found only %d requirements in shared/go.mod", len(modules))
	}
	for _, m := range modules {
		if belowAny(m[1], heavy()) {
			t.Errorf("shared/go.mod requires %s: it is too heavy for what all programs link", m[1])
		}
	}
}
