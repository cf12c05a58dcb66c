package dockerfile

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func mustParse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse_stages(t *testing.T) {
	f := mustParse(t, "# syntax=docker/dockerfile:1.7\nARG A=1\narg B\nFROM --platform=$P x:$A AS Build-1\nRUN a \\\n  b\n\nFROM build-1\n")
	if f.Syntax != "docker/dockerfile:1.7" || f.Escape != '\\' || len(f.Args) != 2 {
		t.Errorf("%+v", f)
	}
	want := []*Stage{
		{
			Source: Source{At: Location{"Dockerfile", 4, 4}, Name: "FROM", Text: "FROM --platform=$P x:$A AS Build-1"},
			Index:  0, Base: "x:$A", As: "Build-1", Platform: "$P",
			Instructions: []Instruction{&Run{
				Source:  Source{At: Location{"Dockerfile", 5, 6}, Name: "RUN", Text: "RUN a   b"},
				Command: Command{Args: []string{"a   b"}, Shell: true},
			}},
		},
		{Source: Source{At: Location{"Dockerfile", 8, 8}, Name: "FROM", Text: "FROM build-1"}, Index: 1, Base: "build-1"},
	}
	if diff := cmp.Diff(want, f.Stages, cmpopts.IgnoreUnexported(Source{}, Run{})); diff != "" {
		t.Error(diff)
	}
	if f.Args[1].Name != "ARG" || f.Args[1].At.Line != 3 {
		t.Errorf("%+v", f.Args[1])
	}
}

func TestParse_errors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"121 empty", "", "Dockerfile:1: file with no instructions"},
		{"121 only comments", "# a\n# b\n", "Dockerfile:2: file with no instructions"},
		{"121 unknown instruction", "FROM a\nRUM x\n", "Dockerfile:2: unknown instruction: RUM (did you mean RUN?)"},
		{"121 before FROM", "\nRUN x\nFROM a\n", "Dockerfile:2: RUN stands before the first FROM"},
		{"no FROM", "ARG a\n", "Dockerfile: there is no FROM"},
		{"unknown option", "FROM a\nCOPY --form=b a /\n", "Dockerfile:2: COPY: unknown flag: --form (did you mean from?)"},
		{"option twice", "FROM a\nCOPY --from=b --from=c a /\n", "Dockerfile:2: COPY: duplicate flag specified: --from"},
		{"FROM with too much", "FROM a b\n", "Dockerfile:1: FROM: FROM requires either one or three arguments"},
		{"stage name", "FROM a AS 1x\n", "Dockerfile:1: FROM: invalid name for build stage"},
		{"unterminated heredoc", "FROM a\nRUN <<E\nx\n", "Dockerfile:2: unterminated heredoc"},
		{"118 SHELL is JSON only", "FROM a\nSHELL sh -c\n", "Dockerfile:2: SHELL: SHELL requires the arguments to be in JSON form"},
		{"nothing to run", "FROM a\nRUN\n", "Dockerfile:2: RUN has no command"},
		{"nothing to run in JSON", "FROM a\nRUN []\n", "Dockerfile:2: RUN has no command"},
		{"115 NONE with options", "FROM a\nHEALTHCHECK --retries=1 NONE\n", "Dockerfile:2: HEALTHCHECK NONE takes no options"},
		{"115 bad interval", "FROM a\nHEALTHCHECK --interval=x CMD a\n", "Dockerfile:2: HEALTHCHECK: time: invalid duration"},
		{"chained ONBUILD", "FROM a\nONBUILD ONBUILD RUN x\n", "Dockerfile:2: ONBUILD: Chaining ONBUILD"},
		{"110 variable in --from", "FROM a\nCOPY --from=$X a /\n", "Dockerfile:2: COPY --from=$X: variables are not expanded here"},
		{"24 mode", "FROM a\nCOPY --chmod=999 a /\n", "Dockerfile:2: COPY: --chmod=999: not an octal number"},
		{"heredoc as destination", "FROM a\nCOPY a <<E\nE\n", "Dockerfile:2: COPY: COPY cannot accept a heredoc as a destination"},
		{"heredoc name", "FROM a\nCOPY <<a/b /\na/b\n", "Dockerfile:2: COPY: a heredoc's word becomes a file name"},
		{"escape", "# escape=x\nFROM a\n", "Dockerfile:1: invalid escape token"},
		{"directive twice", "# escape=\\\n# escape=`\nFROM a\n", "Dockerfile:1: only one escape parser directive"},
		{"check", "# check=bogus=1\nFROM a\n", "Dockerfile:1: invalid check option"},
		{"COPY of a URL", "FROM a\nCOPY https://x/y /\n", "Dockerfile:2: COPY cannot copy a URL: https://x/y"},
		{"COPY of a git repository", "FROM a\nCOPY git@x:y /\n", "Dockerfile:2: COPY cannot copy a git repository"},
		{"not text", "# \xff is fine here\nFROM a\nRUN \xff\n", "Dockerfile:3: not UTF-8 text"},
		{"NUL", "FROM a\nRUN <<E\n\x00\nE\n", "Dockerfile:3: not UTF-8 text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Parse("Dockerfile", []byte(c.text))
			if err == nil {
				t.Fatalf("no error: %+v", f)
			}
			var e *Error
			if !strings.HasPrefix(err.Error(), c.want) || !errors.As(err, &e) {
				t.Errorf("got  %v\nwant %s…", err, c.want)
			}
		})
	}
}

func TestParse_syntax(t *testing.T) {
	for _, ref := range []string{
		"docker/dockerfile", "docker/dockerfile:1", "docker/dockerfile:1.4", "docker/dockerfile:1-labs", "docker/dockerfile:latest",
		"docker/dockerfile:experimental", "docker.io/docker/dockerfile:1.2.3", "docker/dockerfile-upstream:master",
		"mirror.example.com:5000/hub/docker/dockerfile:1",
		"docker/dockerfile:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	} {
		if f, err := Parse("Dockerfile", []byte("#syntax = "+ref+"\nFROM a\n")); err != nil || f.Syntax != ref {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, ref := range []string{"docker/dockerfile:2", "docker/dockerfile:0.9", "docker/dockerfile:10", "dockerfile:1", "r2d4/mockerfile", "example.com/frontend:1", "docker/dockerfiles:1"} {
		_, err := Parse("Dockerfile", []byte("#!/usr/bin/env x\n# syntax="+ref+"\nFROM a\n"))
		if err == nil || err.Error() != "Dockerfile:2: syntax "+ref+" is not supported" {
			t.Errorf("%s: %v", ref, err)
		}
	}
	// After the first line that is something else it is a comment.
	if f := mustParse(t, "# hello\n# syntax=x/y\nFROM a\n"); f.Syntax != "" {
		t.Error(f.Syntax)
	}
}

func TestParse_warnings(t *testing.T) {
	for text, want := range map[string]string{
		"FROM a AS X\n":                                               "Dockerfile:1: StageNameCasing: stage name \"X\" has capital letters: write x, since names of stages are the same in any case",
		"FROM a as x\n":                                               "Dockerfile:1: FromAsCasing: \"FROM\" and \"as\" are not written alike",
		"FROM a\nRUN a \\\n\n  b\n":                                   "Dockerfile:4: NoEmptyContinuation: an empty line within an instruction: take it out, or put a # there",
		"FROM a\nMAINTAINER x\n":                                      "Dockerfile:2: MaintainerDeprecated: MAINTAINER is deprecated: the label org.opencontainers.image.authors says the same",
		"FROM a AS x\nFROM b AS x\n":                                  `Dockerfile:2: DuplicateStageName: stage name "x" is already used at Dockerfile:1`,
		"FROM a AS scratch\n":                                         `Dockerfile:1: ReservedStageName: stage name "scratch" has a meaning of its own`,
		"FROM a\nrun x\nRUN y\n":                                      `Dockerfile:2: ConsistentInstructionCasing: instruction "run" is not written as the others are (RUN)`,
		"from a\nRun x\n":                                             `Dockerfile:2: ConsistentInstructionCasing: instruction "Run" is not written as the others are (run)`,
		"FROM a\nONBUILD RUN --device=x a\n":                          "Dockerfile:2: InvalidTrigger: the trigger will not build: ONBUILD: RUN --device is not supported",
		"# check=skip=all\nFROM a as X\n":                             "",
		"# check=skip=StageNameCasing\nFROM a AS X\n":                 "",
		"FROM a AS x\n# check=skip=DuplicateStageName\nFROM b AS x\n": "",
		"from a\nrun x\n":                                             "",
	} {
		f := mustParse(t, text)
		var got []string
		for _, w := range f.Warnings {
			got = append(got, w.String())
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, strings.Join(got, "\n     "), want)
		}
	}
}

func TestParse_heredocs(t *testing.T) {
	f := mustParse(t, "FROM a\nCOPY <<-A <<'B' x /d/\n\t$a\n\tA\n$b\nB\nONBUILD RUN <<E\nx\nE\n")
	cp := f.Stages[0].Instructions[0].(*Copy)
	want := []Inline{{Name: "A", Data: "$a\n", Expand: true}, {Name: "B", Data: "$b\n"}}
	if diff := cmp.Diff(want, cp.Inline); diff != "" {
		t.Error(diff)
	}
	if cp.At.Line != 2 || cp.At.Last != 6 || cp.Text != "COPY <<-A <<'B' x /d/" {
		t.Errorf("%+v", cp.Source)
	}
	ob := f.Stages[0].Instructions[1].(*Onbuild)
	in, err := ParseTrigger(ob.Trigger, Location{File: "f", Line: 1})
	if err != nil {
		t.Fatal(err)
	}
	if run := in.(*Run); run.Script == nil || run.Script.Data != "x\n" {
		t.Errorf("%+v", run)
	}
}

func TestFile_Find(t *testing.T) {
	f := mustParse(t, "FROM a AS one\nFROM a AS two\nFROM a AS ONE\nFROM a\n")
	for _, c := range []struct {
		name   string
		before int
		want   int // -1 for none
	}{
		{"one", 2, 0}, {"one", 3, 2}, {"One", 4, 2}, {"two", 0, 1}, {"one", 0, 0},
		{"0", 4, 0}, {"3", 4, 3}, {"4", 4, -1}, {"-1", 4, -1}, {"", 4, -1}, {"none", 4, -1},
	} {
		s, ok := f.Find(c.name, c.before)
		if ok != (c.want >= 0) || ok && s.Index != c.want {
			t.Errorf("%q before %d: %v, %v", c.name, c.before, s, ok)
		}
	}
}

func TestExpander(t *testing.T) {
	vars := func(name string) (string, bool) {
		v, ok := map[string]string{"a": "one", "e": "", "p": "x/y/z", "w": "b c"}[name]
		return v, ok
	}
	x := Expander{escape: '\\'}
	for _, c := range []struct{ in, want, unset string }{
		{"$a${a}", "oneone", ""},
		{"$n.", ".", "n"},
		{"${n:-d}${e:-d}${e-d}", "dd", "n"},
		{"${a:+y}${e:+y}${e+y}", "yy", ""},
		{`\$a '$a' "$a" '"'`, `$a $a one "`, ""},
		{"${p#*/} ${p##*/} ${p%/*} ${p%%/*}", "y/z z x/y x", ""},
		{`${p/\//-} ${p//\//-}`, "x-y/z x-y-z", ""},
		{"${a:-${n}}", "one", "n"},
		{"plain", "plain", ""},
	} {
		got, unset, err := x.Word(c.in, vars)
		if err != nil || got != c.want || strings.Join(unset, " ") != c.unset {
			t.Errorf("%s: got %q %v %v, want %q", c.in, got, unset, err, c.want)
		}
	}
	words, unset, err := x.Words(`$w "$w" d $n`, vars)
	if diff := cmp.Diff([]string{"b", "c", "b c", "d"}, words); diff != "" || err != nil || len(unset) != 1 {
		t.Error(diff, unset, err)
	}
	text, _, err := x.Text("it's \"$a\" \\$a ${p%%/*}\n", vars)
	if text != "it's \"one\" $a x\n" || err != nil {
		t.Errorf("%q %v", text, err)
	}
	for in, want := range map[string]string{
		"${n:?no n}": `expand "${n:?no n}": n: no n`,
		"${e:?}":     `expand "${e:?}": e: is not allowed to be empty`,
		"${a":        `expand "${a": syntax error: missing '}'`,
		"${a^}":      `expand "${a^}": unsupported modifier (^) in substitution`,
		"'":          `expand "'": unexpected end of statement`,
		"$a\xff":     `expand "$a\xff": not UTF-8 text`,
	} {
		if got, _, err := x.Word(in, vars); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
}

// FuzzParse holds that no text makes a panic, and that faults have a place.
func FuzzParse(f *testing.F) {
	for _, s := range samples() {
		f.Add("FROM a\n" + s + "\n")
	}
	f.Add("# escape=`\n# check=skip=all;error=true\nFROM a AS b\nRUN <<A <<-B x\nA\n\tB\nCOPY [\"a\", \"b\"]\n")
	f.Add("#!x\n//syntax=docker/dockerfile\nARG a\nONBUILD ONBUILD\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("Dockerfile", []byte(text))
		var e *Error
		if err != nil {
			if !errors.As(err, &e) {
				t.Errorf("%T has no place: %v", err, err)
			}
			return
		}
		for _, s := range file.Stages {
			for _, in := range s.Instructions {
				if at := in.Where().At; at.Line < 1 || at.Last < at.Line {
					t.Errorf("%T is at %+v", in, at)
				}
			}
		}
	})
}

// FuzzExpand holds that no word makes a panic, that a word without anything to
// expand is itself, and that a name is told as unset only if it has no value.
func FuzzExpand(f *testing.F) {
	for _, word := range []string{
		"a$b${c}", "${a:-$b}${a-x}${a:+y}${a+z}", "${b:?no ${a}}", "'$a' \"$a\" \\$a", "${a#*/}${a##*/}${a%/*}${a%%/*}", "${a/b/c}${a//\\//x}", "${a:-${b:-${c:-d}}}", "$", "${", "${a", "$$a",
	} {
		f.Add(word, "a/b/b", '\\')
		f.Add(word, "", '`')
	}
	f.Fuzz(func(t *testing.T, word, value string, escape rune) {
		if escape != '`' {
			escape = '\\'
		}
		x := Expander{escape: escape}
		vars := func(name string) (string, bool) { return value, name == "a" }
		text, unset, err := x.Word(word, vars)
		if err != nil {
			return
		}
		if slices.Contains(unset, "a") {
			t.Errorf("%q: a is set, and told to be unset", word)
		}
		if !strings.ContainsAny(word, "$'\""+string(escape)) && text != word {
			t.Errorf("%q became %q", word, text)
		}
		for _, expand := range []func() error{
			func() error { _, _, err := x.Words(word, vars); return err },
			func() error { _, _, err := x.Text(word, vars); return err },
		} {
			if err := expand(); err != nil && err.Error() == "" {
				t.Errorf("%q: an error without a word", word)
			}
		}
	})
}
