package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// flagsFile is the name of the flag that names a file with flags.
const flagsFile = "flags-file"

// mostFlags is how many bytes a file with flags may have.
const mostFlags = 1 << 20

// BindFlagsFile adds --flags-file. What is in the file is set before the command runs,
// where neither the command line nor the environment says something.
//
// A line is NAME=VALUE, as on a command line but with or without the dashes, or NAME
// alone of a flag that needs no value. The value is all up to the end of the line; there
// are no quotes. Lines that are empty or begin with # say nothing. A flag that may be
// repeated may be so on several lines.
func BindFlagsFile(fs *pflag.FlagSet) {
	fs.String(flagsFile, "", "`file` with flags, one NAME=VALUE a line; those of the command line and of the environment go before")
}

// setFromFile gives the flags that were not given the values in the file of --flags-file.
func setFromFile(fs *pflag.FlagSet) error {
	f := fs.Lookup(flagsFile)
	if f == nil || f.Value.String() == "" {
		return nil
	}
	name := f.Value.String()
	text, err := readFlags(name)
	if err != nil {
		return err
	}
	given := map[string]bool{}
	fs.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	var wrong []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		if err := setLine(fs, strings.TrimSpace(line), given); err != nil {
			wrong = append(wrong, fmt.Errorf("%s:%d: %w", name, n, err))
		}
	}
	return errors.Join(wrong...)
}

func readFlags(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", &flagsFileError{name, err}
	}
	defer file.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(file, mostFlags+1))
	switch {
	case err != nil:
		return "", &flagsFileError{name, err}
	case len(text) > mostFlags:
		return "", &flagsFileError{name, fmt.Errorf("more than %d bytes", mostFlags)}
	case bytes.IndexByte(text, 0) >= 0:
		return "", &flagsFileError{name, errors.New("not a text")}
	}
	return string(text), nil
}

func setLine(fs *pflag.FlagSet, line string, given map[string]bool) error {
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	name, value, hasValue := strings.Cut(strings.TrimPrefix(line, "--"), "=")
	f := fs.Lookup(strings.TrimSpace(name))
	switch {
	case f == nil:
		return fmt.Errorf("there is no flag --%s", name)
	case f.Name == flagsFile || Variables(f) == nil:
		return fmt.Errorf("--%s is for the command line only", f.Name)
	case given[f.Name]:
		return nil
	case !hasValue && f.NoOptDefVal == "":
		return fmt.Errorf("--%s needs a value: --%s=VALUE", f.Name, f.Name)
	case !hasValue:
		value = f.NoOptDefVal
	}
	if err := fs.Set(f.Name, value); err != nil {
		return err
	}
	return nil
}

// flagsFileError is a file with flags that cannot be read.
type flagsFileError struct {
	name string
	err  error
}

func (e *flagsFileError) Error() string {
	why := e.err
	var path *os.PathError
	if errors.As(why, &path) {
		why = path.Err
	}
	return fmt.Sprintf("read the flags in %s: %v", e.name, why)
}

func (e *flagsFileError) Unwrap() error { return e.err }

// Hint is what the file is for.
func (e *flagsFileError) Hint() string {
	return "--flags-file names a text with a flag on each line, such as destination=registry.example.com/app:1"
}

// ExitCode is that of a file which is not there.
func (e *flagsFileError) ExitCode() int { return int(NoInput) }
