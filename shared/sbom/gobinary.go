package sbom

import (
	"bytes"
	"debug/buildinfo"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// minProgram is the size in bytes below which no program of Go's is.
const minProgram = 64 << 10

// elfMagic begins a program of Linux.
const elfMagic = "\x7fELF"

// goMark stands in front of what Go's linker tells of a program (debug/buildinfo). It is
// taken apart here, so that this program has it only once.
func goMark() []byte { return append([]byte("\xff Go "), "buildinf:"...) }

// readProgram reads what Go tells of a program. What is no ELF file is not read on, and
// what has no mark of Go's is not read again.
func (s *scan) readProgram(r io.Reader, f *finding) error {
	var magic [len(elfMagic)]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return err
	}
	if string(magic[:]) != elfMagic {
		return nil
	}
	look := &marked{r: io.MultiReader(bytes.NewReader(magic[:]), r), mark: goMark()}
	return s.spooled(maxProgram, func(file *os.File, _ int64, f *finding) error {
		if !look.found {
			return nil
		}
		info, err := buildinfo.Read(file)
		if err != nil {
			return nil // the mark stands in what is no such program
		}
		return program(info, f)
	})(look, f)
}

// marked is a stream in which a mark is looked for.
type marked struct {
	r     io.Reader
	mark  []byte
	tail  []byte // the end of what was read before
	found bool
}

func (m *marked) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if m.found || n == 0 {
		return n, err
	}
	head := min(n, len(m.mark)-1)
	m.found = bytes.Contains(p[:n], m.mark) || bytes.Contains(append(m.tail, p[:head]...), m.mark)
	rest := append(m.tail, p[max(0, n-len(m.mark)):n]...)
	m.tail = bytes.Clone(rest[max(0, len(rest)-len(m.mark)+1):])
	return n, err
}

// program makes packages of the modules of a program: its own, which uses the others,
// and the standard library.
func program(info *buildinfo.BuildInfo, f *finding) error {
	std := record{Package: Package{Kind: Go, Name: "stdlib", Version: strings.TrimPrefix(goRelease(info.GoVersion), "go")}}
	used := []record{std}
	for _, m := range info.Deps {
		used = append(used, module(m))
	}
	if info.Main.Path != "" {
		main := module(&info.Main)
		main.uses = used
		if err := f.add(main); err != nil {
			return err
		}
	}
	for _, p := range used {
		if err := f.add(p); err != nil {
			return err
		}
	}
	return nil
}

// goRelease is a version of Go without what was added to it: "go1.26.1 X:boringcrypto".
func goRelease(v string) string {
	v, _, _ = strings.Cut(v, " ")
	return v
}

// module is what a program has of a module: if that was replaced by another version, or
// by another module, that one.
func module(m *debug.Module) record {
	if m.Replace != nil && m.Replace.Version != "" {
		m = m.Replace
	} else if m.Replace != nil {
		m = &debug.Module{Path: m.Path} // by a directory, which has no version
	}
	version := m.Version
	if version == "(devel)" {
		version = ""
	}
	return record{Package: Package{Kind: Go, Name: m.Path, Version: version}}
}
