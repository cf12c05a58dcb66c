package sbom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Options are what a scan needs.
type Options struct {
	// Spool is a directory for one file at a time, of maxDatabase bytes at most: what
	// cannot be read as it streams.
	Spool string
}

// Scan lists the software in the final files of an image. It reads all of its layers,
// one after the other; what they cost to fetch is the image's affair.
func Scan(ctx context.Context, img v1.Image, o Options) (*Inventory, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("list the software of an image: %w", err)
	}
	s := &scan{spool: o.Spool, found: map[tree.Path]*finding{}, below: map[tree.Path]int{}}
	for i, l := range layers {
		if err := s.layer(ctx, i, l); err != nil {
			return nil, err
		}
	}
	return s.inventory(), nil
}

// scan is a scan under way.
type scan struct {
	spool string
	found map[tree.Path]*finding
	below map[tree.Path]int // how much was found below a directory
	kept  int               // packages in found

	number int // of the layer that is read
	digest v1.Hash
}

// finding is what one file says.
type finding struct {
	path     tree.Path
	layer    int // the number of the layer that has the file
	packages []record
	system   *System // of an os-release
}

// record is a package before it has a package URL, for which the system has to be known.
type record struct {
	Package
	uses []record
}

// layer reads one layer.
func (s *scan) layer(ctx context.Context, number int, l v1.Layer) error {
	var err error
	if s.digest, err = l.Digest(); err != nil {
		return fmt.Errorf("list the software of an image: %w", err)
	}
	s.number = number
	for c, err := range layer.Open(l) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("list the software of layer %s: %w", s.digest, err)
		}
		if err := s.change(c); err != nil {
			return err
		}
	}
	return nil
}

// change follows one change of the files.
func (s *scan) change(c layer.Change) error {
	switch {
	case c.Kind == layer.Delete:
		s.hide(c.Path, true)
		s.hideBelow(c.Path, true)
		return nil
	case c.Kind == layer.Opaque:
		s.hideBelow(c.Path, true)
		return nil
	case c.Node.IsDir():
		s.hide(c.Path, false)
		return nil
	}
	before := s.found[c.Path]
	s.hide(c.Path, false)
	s.hideBelow(c.Path, false)
	if c.Node.Type != tree.File {
		return nil
	}
	if c.Hard != "" {
		if same := s.found[c.Hard]; same != nil {
			return s.keep(&finding{path: c.Path, packages: same.packages, system: same.system})
		}
		return nil
	}
	f, err := s.read(c)
	if err != nil || f == nil {
		return err
	}
	f.attribute(before, s.digest)
	return s.keep(f)
}

// read reads a file that may say something; nil is nothing.
func (s *scan) read(c layer.Change) (*finding, error) {
	read := s.reader(c)
	if read == nil {
		return nil, nil
	}
	r, err := c.Open()
	if err != nil {
		return nil, &Error{c.Path, s.digest, err}
	}
	f := &finding{path: c.Path}
	err = errors.Join(read(r, f), r.Close())
	if err != nil {
		return nil, &Error{c.Path, s.digest, err}
	}
	if len(f.packages) == 0 && f.system == nil {
		return nil, nil
	}
	return f, nil
}

// A reader adds to a finding what a file says.
type reader func(r io.Reader, f *finding) error

// keep notes a finding.
func (s *scan) keep(f *finding) error {
	f.layer = s.number
	if s.kept += len(f.packages); s.kept > maxPackages {
		return &Error{f.path, s.digest, fmt.Errorf("the image has more than %d packages", maxPackages)}
	}
	s.found[f.path] = f
	s.count(f.path, 1)
	return nil
}

// count notes that there is one finding more, or less, below each parent of a path.
func (s *scan) count(p tree.Path, n int) {
	for p != tree.Root {
		p = p.Parent()
		if s.below[p] += n; s.below[p] == 0 {
			delete(s.below, p)
		}
	}
}

// hide forgets a file; lower spares what this layer has.
func (s *scan) hide(p tree.Path, lower bool) {
	f := s.found[p]
	if f == nil || lower && f.layer == s.number {
		return
	}
	delete(s.found, p)
	s.count(p, -1)
	s.kept -= len(f.packages)
}

// hideBelow forgets what is in a directory, in the same way.
func (s *scan) hideBelow(dir tree.Path, lower bool) {
	if s.below[dir] == 0 {
		return
	}
	for p := range s.found {
		if p != dir && p.Within(dir) {
			s.hide(p, lower)
		}
	}
}

// attribute says which layer brought each package: what a database already had before
// this layer wrote it anew is of the layer before.
func (f *finding) attribute(before *finding, here v1.Hash) {
	type key struct{ name, version, arch string }
	had := map[key]v1.Hash{}
	if before != nil {
		for _, p := range before.packages {
			had[key{p.Name, p.Version, p.Arch}] = p.Layer
		}
	}
	for i := range f.packages {
		p := &f.packages[i]
		p.Layer = here
		if layer, ok := had[key{p.Name, p.Version, p.Arch}]; ok {
			p.Layer = layer
		}
	}
}

// inventory is what was found in the end.
func (s *scan) inventory() *Inventory {
	var all []*finding
	for _, p := range slices.SortedFunc(maps.Keys(s.found), tree.Compare) {
		all = append(all, s.found[p])
	}
	inv := &Inventory{}
	for _, p := range []tree.Path{"usr/lib/os-release", "etc/os-release"} {
		if f := s.found[p]; f != nil {
			inv.System = *f.system
		}
	}
	inv.Packages = merge(inv.System, all)
	return inv
}

// add adds a package, whose fields have to be of a reasonable size.
func (f *finding) add(p record) error {
	for _, field := range []string{p.Name, p.Version, p.Arch, p.Epoch, p.Source, p.SourceVersion, p.License, p.Supplier} {
		if len(field) > maxField {
			return fmt.Errorf("a field of package %.64q is longer than %d bytes", p.Name, maxField)
		}
	}
	if len(f.packages) >= maxPackages {
		return fmt.Errorf("it has more than %d packages", maxPackages)
	}
	f.packages = append(f.packages, p)
	return nil
}
