package dockerfile

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	commands "github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// What becomes of a field of the parser's structs.
const (
	used       = "used"       // convert, or parse of a FROM, reads it
	rejected   = "refused"    // it is set only by an option that ends the build
	irrelevant = "irrelevant" // it says nothing about the image
)

// parserFields is every field, exported or not, of every struct in which the
// parser hands over an instruction, and what becomes of it. When the parser
// grows a field the test below fails until the field stands here, and so has been
// thought of; see [option] for the options that are no fields.
func parserFields() map[string]string {
	return map[string]string{
		"withNameAndCode.code":     irrelevant, // Node.Original has it
		"withNameAndCode.name":     irrelevant, // Node.Value has it
		"withNameAndCode.location": irrelevant, // Node has it
		"withNameAndCode.comments": irrelevant, // Node.PrevComment has them

		"Stage.Name":       used,
		"Stage.Commands":   irrelevant, // filled by a function of the parser that is not called
		"Stage.OrigCmd":    irrelevant, // how FROM is spelled
		"Stage.BaseName":   used,
		"Stage.Platform":   used,
		"Stage.DocComment": irrelevant,
		"Stage.SourceCode": irrelevant,
		"Stage.Location":   irrelevant,
		"Stage.Comments":   irrelevant,

		"KeyValuePair.Key":     used,
		"KeyValuePair.Value":   used,
		"KeyValuePair.NoDelim": used,

		"KeyValuePairOptional.Key":        used,
		"KeyValuePairOptional.Value":      used,
		"KeyValuePairOptional.DocComment": irrelevant,

		"ArgCommand.Args":               used,
		"EnvCommand.Env":                used,
		"LabelCommand.Labels":           used,
		"LabelCommand.noExpand":         irrelevant, // never set by the parser
		"MaintainerCommand.Maintainer":  used,
		"OnbuildCommand.Expression":     used,
		"WorkdirCommand.Path":           used,
		"UserCommand.User":              used,
		"VolumeCommand.Volumes":         used,
		"ExposeCommand.Ports":           used,
		"StopSignalCommand.Signal":      used,
		"ShellCommand.Shell":            used,
		"HealthCheckCommand.Health":     used,
		"HealthcheckConfig.Test":        used,
		"HealthcheckConfig.Interval":    used,
		"HealthcheckConfig.Timeout":     used,
		"HealthcheckConfig.StartPeriod": used, "HealthcheckConfig.StartInterval": used,
		"HealthcheckConfig.Retries": used,

		"ShellDependantCmdLine.CmdLine":      used,
		"ShellDependantCmdLine.Files":        used,
		"ShellDependantCmdLine.PrependShell": used,
		"ShellInlineFile.Name":               used,
		"ShellInlineFile.Data":               used,
		"ShellInlineFile.Chomp":              used,

		"RunCommand.FlagsUsed": irrelevant, // option judges each of them
		"withExternalData.m":   used,       // mounts and network of RUN; option judges security and devices

		"SourcesAndDest.DestPath":       used,
		"SourcesAndDest.SourcePaths":    used,
		"SourcesAndDest.SourceContents": used,
		"SourceContent.Path":            used,
		"SourceContent.Data":            used,
		"SourceContent.Expand":          used,

		"CopyCommand.From":            used,
		"CopyCommand.Chown":           used,
		"CopyCommand.Chmod":           used,
		"CopyCommand.Link":            used,
		"CopyCommand.ExcludePatterns": used,
		"CopyCommand.Parents":         used,

		"AddCommand.Chown":           used,
		"AddCommand.Chmod":           used,
		"AddCommand.Link":            used,
		"AddCommand.ExcludePatterns": used,
		"AddCommand.KeepGitDir":      used,
		"AddCommand.Checksum":        used,
		"AddCommand.Unpack":          used,

		// What option needs of a node.
		"Node.Value": used, "Node.Next": used, "Node.Original": used, "Node.Flags": used,
		"Node.StartLine": used, "Node.EndLine": used, "Node.PrevComment": used,
		"Node.Children":          irrelevant, // of ONBUILD, whose text is used
		"Node.Heredocs":          irrelevant, // handed over in the structs above
		"Node.Attributes":        irrelevant, // the same
		"Heredoc.Name":           irrelevant,
		"Heredoc.FileDescriptor": irrelevant, // for the shell, which reads it in the text
		"Heredoc.Expand":         irrelevant,
		"Heredoc.Chomp":          irrelevant,
		"Heredoc.Content":        irrelevant,
	}
}

// samples has an instruction of each kind that the parser knows.
func samples() map[string]string {
	return map[string]string{
		"add": "ADD a /", "arg": "ARG a", "cmd": "CMD a", "copy": "COPY a /", "entrypoint": "ENTRYPOINT a",
		"env": "ENV a=b", "expose": "EXPOSE 1", "from": "FROM a", "healthcheck": "HEALTHCHECK CMD a",
		"label": "LABEL a=b", "maintainer": "MAINTAINER a", "onbuild": "ONBUILD RUN a", "run": "RUN a",
		"shell": `SHELL ["a"]`, "stopsignal": "STOPSIGNAL 9", "user": "USER a", "volume": "VOLUME /a", "workdir": "WORKDIR /a",
	}
}

func parsedNode(t *testing.T, text string) *parser.Node {
	t.Helper()
	r, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r.AST.Children[0]
}

// Every field that an instruction can carry is accounted for.
func TestOption_everyFieldIsAccountedFor(t *testing.T) {
	fields := map[string]bool{}
	collect(reflect.TypeFor[parser.Node](), fields)
	texts := samples()
	for name := range commands.Commands {
		text, ok := texts[name]
		if !ok {
			t.Errorf("the parser has an instruction %s that is not known here", strings.ToUpper(name))
			continue
		}
		n := parsedNode(t, text)
		parsed, err := instructions.ParseInstruction(n)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		collect(reflect.TypeOf(parsed), fields)
		if _, isStage := parsed.(*instructions.Stage); isStage {
			continue
		}
		in, err := convert(Source{Name: strings.ToUpper(name)}, parsed)
		if err != nil || in == nil {
			t.Errorf("%s is not converted: %v", text, err)
		}
	}
	known := parserFields()
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		if known[f] == "" {
			t.Errorf("the parser's field %s is neither used nor refused: an instruction that sets it would be built as if it did not", f)
		}
	}
	for _, f := range slices.Sorted(maps.Keys(known)) {
		if !fields[f] {
			t.Errorf("the parser has no field %s any more", f)
		}
	}
}

// collect adds the fields of a struct, and of the structs that it is made of.
func collect(typ reflect.Type, into map[string]bool) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		collect(typ.Elem(), into)
		return
	case reflect.Struct:
	default:
		return
	}
	if !strings.Contains(typ.PkgPath(), "moby/") || typ == reflect.TypeFor[parser.Range]() {
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous {
			collect(f.Type, into)
			continue
		}
		name := typ.Name() + "." + f.Name
		if into[name] {
			continue
		}
		into[name] = true
		collect(f.Type, into)
	}
}

// A field that convert is said to use changes what convert returns; so a field
// that stands in the table as used and is forgotten in the code is found.
func TestOption_usedFieldsMatter(t *testing.T) {
	known := parserFields()
	for name, text := range samples() {
		if name == "from" {
			continue // tested by what Parse makes of it
		}
		src := Source{Name: strings.ToUpper(name)}
		parse := func() reflect.Value {
			v, err := instructions.ParseInstruction(parsedNode(t, text))
			if err != nil {
				t.Fatal(err)
			}
			return reflect.ValueOf(v).Elem()
		}
		plain, err := convert(src, parse().Addr().Interface())
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range settable(parse(), known) {
			v := parse()
			change(v.FieldByIndex(path))
			changed, err := convert(src, v.Addr().Interface())
			if err == nil && reflect.DeepEqual(plain, changed) {
				t.Errorf("%s: %s makes no difference", text, v.Type().FieldByIndex(path).Name)
			}
		}
	}
}

// settable finds the exported fields that stand in the table as used.
func settable(v reflect.Value, known map[string]string) (paths [][]int) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			for _, p := range settable(v.Field(i), known) {
				paths = append(paths, append([]int{i}, p...))
			}
			continue
		}
		if f.IsExported() && known[v.Type().Name()+"."+f.Name] == used {
			paths = append(paths, []int{i})
		}
	}
	return paths
}

// change gives v another value.
func change(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Duration:
		v.SetInt(v.Int() + int64(time.Second))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int:
		v.SetInt(v.Int() + 1)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		panic(fmt.Sprintf("no other value for %s", v.Type()))
	}
}

// Every option that is not obeyed is refused with file, line and name.
func TestOption_refused(t *testing.T) {
	for _, c := range []struct{ text, instruction, option string }{
		{"RUN --security=insecure a", "RUN", "--security=insecure"},
		{"RUN --device=x a", "RUN", "--device"},
		{"RUN --network=host --device=x a", "RUN", "--device"},
		// The parser lets these by without a look.
		{"STOPSIGNAL --x 9", "STOPSIGNAL", "--x"},
		{"ARG --x a", "ARG", "--x"},
		{"HEALTHCHECK --x NONE", "HEALTHCHECK", "--x"},
	} {
		for _, stage := range []string{"", "\nFROM scratch\n"} {
			_, err := Parse("dir/Dockerfile", []byte("FROM scratch\n\n"+c.text+stage))
			var e *Error
			var u *UnsupportedError
			if !errors.As(err, &e) || !errors.As(err, &u) {
				t.Errorf("%s: %v", c.text, err)
				continue
			}
			if u.Instruction != c.instruction || u.Option != c.option || e.At.String() != "dir/Dockerfile:3" {
				t.Errorf("%s: %s: %s %s", c.text, e.At, u.Instruction, u.Option)
			}
			if !strings.HasPrefix(err.Error(), "dir/Dockerfile:3: ") || !strings.Contains(err.Error(), c.option) {
				t.Errorf("%s: %v", c.text, err)
			}
		}
		if strings.HasPrefix(c.text, "ARG") {
			continue
		}
		if _, err := ParseTrigger(c.text, Location{File: "f", Line: 1}); err == nil {
			t.Errorf("ONBUILD %s is taken", c.text)
		}
	}
}

// Options that are obeyed, or mean what is done anyway, are taken.
func TestOption_honoured(t *testing.T) {
	for _, text := range []string{
		"RUN --network=default a", "RUN --network=host a", "RUN --security=sandbox a",
		"COPY --link=false --parents=false a /", "ADD --link=FALSE a /",
		"COPY --from=x --chown=1:2 --chmod=0644 a /", "ADD --chown=$U --chmod=$M a /",
		"RUN --mount=type=cache,target=/c a", "RUN --network=none a",
		"COPY --link --parents --exclude=*.x --exclude=*.y --chmod=u=rwX a /",
		"ADD --link --exclude=*.x --checksum=sha256:00 --keep-git-dir --unpack=false https://x/y /",
		"ADD https://x/y.git#main git@github.com:a/b.git git://x/y ssh://git@x/y http://x /d/",
		"HEALTHCHECK --interval=1s --timeout=1s --start-period=1s --start-interval=1s --retries=1 CMD a",
		"FROM --platform=linux/amd64 a",
		"COPY user@host/file:1 a/b:c *.git /",
	} {
		if _, err := Parse("Dockerfile", []byte("FROM scratch\n"+text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// An option that a newer parser accepts and that the table does not have is
// refused, on every instruction.
func TestOption_unknownIsRefused(t *testing.T) {
	for name := range commands.Commands {
		src := Source{At: Location{File: "f", Line: 4}, Name: strings.ToUpper(name)}
		for _, flag := range []string{"--future", "--future=false", "--future=x"} {
			err := refuse(src, []string{flag}, false)
			want := "f:4: " + src.Name + " --future is not supported"
			if err == nil || err.Error() != want {
				t.Errorf("%s %s: %v", src.Name, flag, err)
			}
		}
		if err := refuse(src, []string{"--", "--device"}, false); err != nil {
			t.Errorf("what follows -- is no option: %v", err)
		}
	}
}

func TestParseMode(t *testing.T) {
	const old = 0o4640
	for in, want := range map[string][2]tree.Mode{ // of a file, of a directory
		"0": {0, 0}, "644": {0o644, 0o644}, "07777": {0o7777, 0o7777}, "00001": {1, 1},
		"u=rwX,go=rX": {0o644, 0o755}, "a+x": {0o4751, 0o4751}, "u-s": {0o640, 0o640}, "g+s,o=": {0o6640, 0o6640}, "+t": {0o5640, 0o5640},
	} {
		m, err := ParseMode(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := [2]tree.Mode{m.Apply(old, false), m.Apply(old, true)}; got != want {
			t.Errorf("%s: %o, wanted %o", in, got, want)
		}
	}
	for _, in := range []string{"", "8", "10000", "-1", "0x1", "u=rw,", "x", "u~r", "777777777777"} {
		if m, err := ParseMode(in); err == nil {
			t.Errorf("%q: %s", in, m)
		}
	}
}

// The rule is BuildKit's, asked with ADD of each of these.
func TestRemote(t *testing.T) {
	for source, want := range map[string]string{
		"https://example.com/x":             "a URL",
		"https://example.com/x.git":         "a git repository",
		"https://example.com/x.git#v1:sub":  "a git repository",
		"https://example.com/x.git?ref=a/b": "a git repository",
		"https://u:p@example.com/x.git":     "a git repository",
		"HTTP://example.com/x.git":          "a git repository",
		"https://example.com/x.git/":        "a URL",
		"https://example.com/x.git.tar":     "a URL",
		"https://example.com/x?y=z.git":     "a URL",
		"https://example.com/x#y.git":       "a URL",
		"https://example.com/%zz.git":       "a URL",
		"https://example.com":               "a URL",
		"HTTP://example.com/x":              "",
		"git://example.com/x":               "a git repository",
		"ssh://git@example.com/x":           "a git repository",
		"SSH://git@example.com/x":           "a git repository",
		"ftp://example.com/x.git":           "",
		"git@example.com:x":                 "a git repository",
		"git@example.com:x.git#v1:sub":      "a git repository",
		"git@example.com:x?ref=v1":          "a git repository",
		"GIT@example.com:":                  "a git repository",
		"first.last@example.com:x":          "",
		"git@exam_ple.com:x":                "",
		"a/git@example.com:x":               "",
		"./git@example.com:x":               "",
		"git@example.com":                   "",
		"github.com/x/y.git":                "",
		"x.git":                             "",
		".":                                 "",
		"C:/x":                              "",
	} {
		if got := Remote(source); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}
