package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// lintCase is a case of testdata/lint.txtar, which says what is in it.
type lintCase struct {
	name  string
	parts map[string]string
}

func lintCases(t *testing.T) []lintCase {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/lint.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var cases []lintCase
	for _, f := range archive.Files {
		name, part, _ := strings.Cut(f.Name, "/")
		if len(cases) == 0 || cases[len(cases)-1].name != name {
			cases = append(cases, lintCase{name, map[string]string{}})
		}
		text := strings.NewReplacer("{CR}", "\r", "{BOM}", "\ufeff").Replace(string(f.Data))
		cases[len(cases)-1].parts[part] = text
	}
	return cases
}

// wants is what is to be said where bases are known, and where they are not.
func (c lintCase) wants() (known, unknown []string) {
	for line := range strings.Lines(c.parts["want"]) {
		said, mark, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch mark {
		case "-":
		case "?":
			known = append(known, said)
		default:
			known, unknown = append(known, said), append(unknown, said)
		}
	}
	return known, unknown
}

// lint lints a case; bases may be nil.
func (c lintCase) lint(t *testing.T, bases Bases) []dockerfile.Warning {
	t.Helper()
	o := Options{Bases: bases, BuildArgs: map[string]string{}, Target: strings.TrimSpace(c.parts["target"]), BuildPlatform: amd64()}
	for line := range strings.Lines(c.parts["args"]) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		o.BuildArgs[name] = value
	}
	text := []byte(c.parts["Dockerfile"])
	f, err := dockerfile.Parse("Dockerfile", text)
	if check, ok := o.BuildArgs["BUILDKIT_DOCKERFILE_CHECK"]; ok {
		f, err = dockerfile.ParseChecked("Dockerfile", text, check)
	}
	if err != nil {
		t.Fatal(err)
	}
	if ignore, ok := c.parts["dockerignore"]; ok {
		if o.Ignore, err = dockerfile.ParseIgnore(".dockerignore", []byte(ignore)); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Lint(t.Context(), f, o)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(found, dockerfile.Warning.IsNote)
}

// lintBases has images that set KNOWN; that called foreign is for another platform.
type lintBases struct{}

func (lintBases) Resolve(_ context.Context, ref string, p v1.Platform) (*Image, error) {
	config := &v1.ConfigFile{OS: p.OS, Architecture: p.Architecture, Config: v1.Config{Env: []string{"KNOWN=1"}}}
	if strings.Contains(ref, "foreign") {
		config.Architecture = "arm64"
	}
	return &Image{Ref: ref, Platform: p, Config: config}, nil
}

func TestLint(t *testing.T) {
	told := map[string]bool{}
	for _, c := range lintCases(t) {
		t.Run(c.name, func(t *testing.T) {
			known, unknown := c.wants()
			for _, test := range []struct {
				what  string
				bases Bases
				want  []string
			}{{"bases are known", lintBases{}, known}, {"bases are unknown", nil, unknown}} {
				var got []string
				for _, w := range c.lint(t, test.bases) {
					told[w.Rule] = true
					got = append(got, fmt.Sprintf("%s:%d", w.Rule, w.At.Line))
					if w.Text == "" || strings.HasSuffix(w.Text, ".") {
						t.Errorf("the text of %s is %q", w.Rule, w.Text)
					}
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", test.what, diff)
				}
			}
		})
	}
	for _, r := range dockerfile.Rules() {
		if !told[r.Name] && !r.Note {
			t.Errorf("no case shows %s", r.Name)
		}
		delete(told, r.Name)
	}
	for name := range told {
		t.Errorf("%s is not among the rules", name)
	}
}

// Each rule has a case that it says nothing of and one that turns it off.
func TestLint_cases(t *testing.T) {
	names := map[string]lintCase{}
	for _, c := range lintCases(t) {
		names[c.name] = c
	}
	for _, r := range dockerfile.Rules() {
		if r.Note {
			continue
		}
		for _, suffix := range []string{"", "-not", "-skip"} {
			c, ok := names[r.Name+suffix]
			if !ok {
				t.Errorf("there is no case %s%s", r.Name, suffix)
				continue
			}
			known, _ := c.wants()
			says := slices.ContainsFunc(known, func(w string) bool { return strings.HasPrefix(w, r.Name+":") })
			if says != (suffix == "") {
				t.Errorf("case %s%s: says the rule: %v", r.Name, suffix, says)
			}
		}
	}
}

// Where warnings are errors, notes still are none.
func TestCompile_strict(t *testing.T) {
	for text, want := range map[string]string{
		"# check=error=true\nFROM scratch\n":                                  "",
		"# check=error=true\nFROM scratch\nONBUILD RUN --device=x y\n":        "",
		"# check=error=true\nFROM scratch\nENV a b\n":                         "Dockerfile:3: LegacyKeyValueFormat: ",
		"# check=error=true\nFROM scratch\nENV a b\nFROM scratch\n":           "",
		"# check=skip=LegacyKeyValueFormat;error=true\nFROM scratch\nENV a b": "",
	} {
		f, err := dockerfile.Parse("Dockerfile", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Compile(t.Context(), f, Options{BuildArgs: map[string]string{"NOBODY": "1"}, BuildPlatform: amd64()})
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What was found before an error is told with it.
func TestLint_error(t *testing.T) {
	f, err := dockerfile.Parse("Dockerfile", []byte("FROM scratch\nENV a b\nUSER ${x:?no}\n"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := Lint(t.Context(), f, Options{})
	if err == nil || len(found) != 1 || found[0].Rule != "LegacyKeyValueFormat" {
		t.Errorf("found %v, error %v", found, err)
	}
}

func TestMeant(t *testing.T) {
	names := []string{"PATH", "VERSION", "name"}
	for wrong, want := range map[string]string{
		"VERSIO": ": is $VERSION meant?", "VERISON": ": is $VERSION meant?", "NAME": ": is $name meant?",
		"PAHT": ": is $PATH meant?", "OTHER": "", "x": "", "": "",
	} {
		if got := meant(wrong, names); got != want {
			t.Errorf("%q: %q, want %q", wrong, got, want)
		}
	}
}
