package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
)

// spellings is the annotation of a flag with its other names.
const spellings = "spellings"

// unsettable is the annotation of a flag that the environment does not set.
const unsettable = "unsettable"

// Spell lets flags be written in other ways, given by the name that each is known by.
// It panics if there is no such flag.
func Spell(fs *pflag.FlagSet, others map[string][]string) {
	names := map[string]string{}
	for name, more := range others {
		if err := fs.SetAnnotation(name, spellings, more); err != nil {
			panic(err)
		}
		for _, other := range more {
			names[other] = name
		}
	}
	before := fs.GetNormalizeFunc()
	fs.SetNormalizeFunc(func(fs *pflag.FlagSet, name string) pflag.NormalizedName {
		if known, ok := names[name]; ok {
			return pflag.NormalizedName(known)
		}
		return before(fs, name)
	})
}

// Spellings are the other ways to write a flag.
func Spellings(f *pflag.Flag) []string { return slices.Clone(f.Annotations[spellings]) }

// CommandLineOnly keeps the environment from setting flags. It panics if there is no
// such flag.
func CommandLineOnly(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := fs.SetAnnotation(name, unsettable, []string{"true"}); err != nil {
			panic(err)
		}
	}
}

// Variables are the names of the environment's variables that set a flag if the
// command line does not: KANIKO_ and the flag's name in capitals, --tar-path as
// KANIKO_TAR_PATH. The first that is set and not empty counts.
func Variables(f *pflag.Flag) []string {
	if f.Annotations[unsettable] != nil || f.Name == "help" {
		return nil
	}
	var all []string
	for _, name := range append([]string{f.Name}, Spellings(f)...) {
		if v := variable(name); !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

func variable(flag string) string {
	var b strings.Builder
	for _, r := range strings.TrimPrefix(flag, "kaniko-") {
		switch {
		case r == '-':
			r = '_'
		case unicode.IsUpper(r):
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return "KANIKO_" + b.String()
}

// setFromEnvironment gives the flags that were not given the environment's values. Of
// a flag that may be repeated each line is one.
func setFromEnvironment(fs *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var wrong []error
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			return
		}
		for _, name := range Variables(f) {
			text, ok := lookup(name)
			if !ok || strings.TrimSpace(text) == "" {
				continue
			}
			for _, value := range values(f, text) {
				if err := fs.Set(f.Name, value); err != nil {
					wrong = append(wrong, &variableError{name, f.Name, value, err})
				}
			}
			return
		}
	})
	return errors.Join(wrong...)
}

func values(f *pflag.Flag, text string) []string {
	if _, repeatable := f.Value.(pflag.SliceValue); !repeatable {
		return []string{text}
	}
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// variableError is a variable with a value that its flag does not take.
type variableError struct {
	variable, flag, value string
	err                   error
}

func (e *variableError) Error() string {
	why := e.err
	for errors.Unwrap(why) != nil {
		why = errors.Unwrap(why)
	}
	return fmt.Sprintf("$%s, which stands for --%s, is %q: %v", e.variable, e.flag, e.value, why)
}

func (e *variableError) Unwrap() error { return e.err }
