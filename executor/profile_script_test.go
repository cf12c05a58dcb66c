package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protowire"
)

// pprofHas is the scripts' command pprof.
func pprofHas(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] pprof WORD FILE")
	}
	names, err := profileNames(ts.MkAbs(args[1]))
	ts.Check(err)
	has := slices.ContainsFunc(names, func(name string) bool { return name == args[0] })
	if has == neg {
		ts.Fatalf("%s has these names: %q", args[1], names)
	}
}

// profileNames reads a profile, https://github.com/google/pprof/blob/main/proto/profile.proto,
// and returns its table of strings: of types, units, functions and their files.
func profileNames(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	message, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(bytes.TrimSpace(message)) == 0 {
		return nil, fmt.Errorf("%s: the profile is empty", path)
	}
	const stringTable = 6
	var names []string
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeField(message)
		if n < 0 {
			return nil, fmt.Errorf("%s: %w", path, protowire.ParseError(n))
		}
		_, _, tag := protowire.ConsumeTag(message)
		if number == stringTable && kind == protowire.BytesType {
			text, _ := protowire.ConsumeString(message[tag:n])
			names = append(names, text)
		}
		message = message[n:]
	}
	return names, nil
}
