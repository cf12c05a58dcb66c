// Package sbom finds out what software an image holds, and writes that down as SPDX
// and CycloneDX have it.
//
// It reads the databases that package managers leave in an image, what those of Python
// and Node leave of each package, and what Go puts into its programs. Every layer is read once, from the lowest; what a later layer
// replaces or hides is not in the image and not in the result. It runs nothing, asks
// nobody, and does not guess from names of files.
//
// An image may come from anybody: what is read is bounded, and what is kept as well.
package sbom

import (
	"cmp"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Bounds of what one image can make us keep.
const (
	maxPackages = 200_000   // of an image, counted in each database or program
	maxField    = 8 << 10   // bytes of a name, a version, a licence
	maxDatabase = 1 << 30   // bytes of a database that is not read as a stream
	maxProgram  = 512 << 20 // bytes of a Go program; larger ones are not looked at
)

// Kind is what a package was installed by. It is a package URL's type.
type Kind string

// The kinds.
const (
	Debian Kind = "deb"
	Alpine Kind = "apk"
	RPM    Kind = "rpm"
	Go     Kind = "golang"
	Python Kind = "pypi"
	Node   Kind = "npm"
)

// Package is a piece of software in an image.
type Package struct {
	Kind    Kind
	Name    string
	Version string // empty of a Go module whose version nobody knows
	Arch    string // in the words of Kind; empty of a Go module
	Epoch   string // of an RPM that has one; others have it in Version

	Source        string // the package that this was built from, if it has another name
	SourceVersion string // if it is another than Version
	License       string // as the database has it, which need not be SPDX's expression
	Supplier      string

	At    []string // absolute paths of the databases or programs that have it, sorted
	Layer v1.Hash  // of the layer that brought it

	PURL string   // a package URL; no two packages of an Inventory have the same
	Uses []string // PURLs of the modules that are linked into a Go program, sorted
}

// System is what /etc/os-release says.
type System struct {
	ID      string // such as "debian"; empty if there is no such file
	Version string // VERSION_ID
	Name    string // PRETTY_NAME, for people
}

// Inventory is the software of an image.
type Inventory struct {
	System   System
	Packages []Package // sorted by PURL
}

// Error is a database or a program that cannot be read.
type Error struct {
	Path  tree.Path
	Layer v1.Hash
	Err   error
}

func (e *Error) Error() string {
	return fmt.Sprintf("list the software in %s of layer %s: %v", e.Path.Abs(), e.Layer, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is that of bad data.
func (*Error) ExitCode() int { return 65 }

// Hint says what to do.
func (*Error) Hint() string {
	return "the file is damaged, or is no such database; remove it from the image, or build without --sbom"
}

// merge is the packages of all findings, each once.
func merge(system System, all []*finding) []Package {
	at := map[string]int{}
	var out []Package
	for _, f := range all {
		for _, p := range f.packages {
			p = p.valid()
			p.PURL = p.purl(system)
			p.Uses = nil
			for _, used := range p.uses {
				p.Uses = append(p.Uses, used.valid().purl(system))
			}
			p.At = []string{f.path.Abs()}
			i, ok := at[p.PURL]
			if !ok {
				at[p.PURL] = len(out)
				out = append(out, p.Package)
				continue
			}
			out[i].At = append(out[i].At, p.At...)
			out[i].Uses = append(out[i].Uses, p.Uses...)
		}
	}
	for i := range out {
		out[i].At = sorted(out[i].At)
		out[i].Uses = sorted(out[i].Uses)
	}
	slices.SortFunc(out, func(a, b Package) int { return cmp.Compare(a.PURL, b.PURL) })
	return out
}

func sorted(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}
