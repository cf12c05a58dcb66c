package commandtest

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/shared/command"
)

// Origin is what is known of a flag beside what the program says of it.
type Origin struct {
	// Since is the first of the releases compared that has the flag: v0.17, v1.24, or a
	// fork.
	Since string
	// Difference is how it differs there; empty is not at all.
	Difference string
}

// ReadOrigins reads a table of flags: a line each, with the flag's name, since when
// kaniko has it, and how it differs, parted by bars. A "#" begins a remark.
func ReadOrigins(t testing.TB, path string) map[string]Origin {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Origin{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := append(strings.SplitN(line, "|", 3), "", "")
		name := strings.TrimSpace(fields[0])
		if _, ok := all[name]; ok {
			t.Errorf("%s has %s twice", path, name)
		}
		all[name] = Origin{strings.TrimSpace(fields[1]), strings.TrimSpace(fields[2])}
	}
	return all
}

// Root is a program's root command, with all flags that its users have.
func Root(t testing.TB, p command.Program) *cobra.Command {
	t.Helper()
	return p.Command(&command.Env{
		Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{},
		LookupEnv: func(string) (string, bool) { return "", false },
	})
}

// Flags are a command's flags in the order of their names.
func Flags(c *cobra.Command) []*pflag.Flag {
	var all []*pflag.Flag
	add := func(f *pflag.Flag) {
		if f.Name != "help" {
			all = append(all, f)
		}
	}
	c.LocalFlags().VisitAll(add)
	slices.SortFunc(all, func(a, b *pflag.Flag) int {
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return slices.CompactFunc(all, func(a, b *pflag.Flag) bool { return a.Name == b.Name })
}

// FlagTable is a table of a command's flags for docs/flags.md.
func FlagTable(c *cobra.Command, origins map[string]Origin) string {
	var b strings.Builder
	b.WriteString("| flag | kaniko | default | environment | meaning here | otherwise in kaniko |\n|---|---|---|---|---|---|\n")
	for _, f := range Flags(c) {
		names := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			names += ", `-" + f.Shorthand + "`"
		}
		for _, other := range command.Spellings(f) {
			names += ", `--" + other + "`"
		}
		o := origins[f.Name]
		since := o.Since
		if since == "" {
			since = "–"
		}
		unquoted, usage := pflag.UnquoteUsage(f)
		meaning := usage
		if unquoted != "" && strings.Contains(f.Usage, "`"+unquoted+"`") {
			meaning = strings.Replace(f.Usage, "`"+unquoted+"`", "*"+unquoted+"*", 1)
		}
		var variables []string
		for _, v := range command.Variables(f) {
			variables = append(variables, "`"+v+"`")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", names, since, value(f), strings.Join(variables, ", "), cell(meaning), cell(o.Difference))
	}
	return b.String()
}

// value is a flag's default for people.
func value(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "[]", "false":
		return ""
	}
	return "`" + f.DefValue + "`"
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// CheckSection compares a section of a file, between the lines "<!-- NAME: begin -->"
// and "<!-- NAME: end -->", with what it is to be, or writes that.
func CheckSection(t testing.TB, path, name, want string, update bool) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
	before, rest, ok := strings.Cut(string(raw), begin)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no section %s", path, name)
	}
	if got == want {
		return
	}
	if !update {
		t.Errorf("%s: the section %s is not what the program says; go test -update writes it", path, name)
		return
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Untested are the flags of a command that no command line in the texts has, by any
// of their names.
func Untested(c *cobra.Command, texts []string) []string {
	var all []string
	for _, f := range Flags(c) {
		names := append([]string{f.Name}, command.Spellings(f)...)
		if !slices.ContainsFunc(names, func(name string) bool { return used(name, texts) }) {
			all = append(all, f.Name)
		}
	}
	return all
}

// Texts are the contents of files that patterns match, such as scripts with command lines.
func Texts(t testing.TB, patterns ...string) []string {
	t.Helper()
	var texts []string
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, strings.ToValidUTF8(string(text), ""))
		}
	}
	return texts
}

func used(name string, texts []string) bool {
	for _, text := range texts {
		for rest := text; ; {
			i := strings.Index(rest, "--"+name)
			if i < 0 {
				break
			}
			rest = rest[i+2+len(name):]
			if rest == "" || !strings.ContainsRune("-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", rune(rest[0])) {
				return true
			}
		}
	}
	return false
}

// Without is a command line without a flag of a command, or of one below it, however it
// is written: as if the program had never heard of it.
func Without(root *cobra.Command, name string, args []string) []string {
	f := find(root, name)
	if f == nil {
		return args
	}
	names := append([]string{f.Name}, command.Spellings(f)...)
	var left []string
	for i := 0; i < len(args); i++ {
		long, short, value := split(args[i])
		switch {
		case long != "" && slices.Contains(names, long), short != "" && short == f.Shorthand:
			if !value && f.NoOptDefVal == "" {
				i++ // the value is the next word
			}
		default:
			left = append(left, args[i])
		}
	}
	return left
}

// split takes a word apart: the name of a flag, long or of one letter, and whether its
// value is in the word too.
func split(word string) (long, short string, value bool) {
	if rest, ok := strings.CutPrefix(word, "--"); ok {
		name, _, value := strings.Cut(rest, "=")
		return name, "", value
	}
	if len(word) > 1 && word[0] == '-' {
		return "", word[1:2], len(word) > 2
	}
	return "", "", false
}

func find(c *cobra.Command, name string) *pflag.Flag {
	for _, f := range Flags(c) {
		if f.Name == name {
			return f
		}
	}
	for _, sub := range c.Commands() {
		if f := find(sub, name); f != nil {
			return f
		}
	}
	return nil
}

// Uses reports whether a text has a flag of a command on a command line, by any of its
// names, or sets one of its variables.
func Uses(f *pflag.Flag, text string) bool {
	for _, name := range append([]string{f.Name}, command.Spellings(f)...) {
		if used(name, []string{text}) {
			return true
		}
	}
	return f.Shorthand != "" && strings.Contains(text, " -"+f.Shorthand+" ")
}
