package attest

import (
	"context"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/sbom"
)

// Documents are all that is said of the images of a build. Each is made once, whatever
// the number of places it goes to.
type Documents struct {
	// Formats are those of the lists of software; none makes no list.
	Formats []Format
	// Provenance tells how an image, or the index of several, was built; nil makes no
	// provenance.
	Provenance func(digest v1.Hash) Build
	Name       string // of the image, without tag; may be empty
	Tool       string // the builder's name and Version, for lists of software
	Version    string
	Spool      string // directory for what is read of the image

	mu   sync.Mutex
	made map[v1.Hash][]Predicate
}

// Of is what is said of an image, or of an index if img is nil. An index has no software
// of its own.
func (d *Documents) Of(ctx context.Context, at v1.Descriptor, img v1.Image) ([]Predicate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if all, ok := d.made[at.Digest]; ok {
		return all, nil
	}
	all, err := d.of(ctx, at, img)
	if err != nil {
		return nil, err
	}
	if d.made == nil {
		d.made = map[v1.Hash][]Predicate{}
	}
	d.made[at.Digest] = all
	return all, nil
}

func (d *Documents) of(ctx context.Context, at v1.Descriptor, img v1.Image) ([]Predicate, error) {
	var all []Predicate
	if len(d.Formats) > 0 && img != nil {
		lists, err := d.lists(ctx, at, img)
		if err != nil {
			return nil, err
		}
		all = append(all, lists...)
	}
	if d.Provenance != nil {
		p, err := d.Provenance(at.Digest).predicate()
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// lists are the lists of software of an image.
func (d *Documents) lists(ctx context.Context, at v1.Descriptor, img v1.Image) ([]Predicate, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	inv, err := sbom.Scan(ctx, img, sbom.Options{Spool: d.Spool})
	if err != nil {
		return nil, err
	}
	s := sbom.Subject{
		Name: d.Name, Digest: at.Digest, Platform: config.Platform().String(), Created: config.Created.Time,
		Tool: d.Tool, Version: d.Version,
	}
	var all []Predicate
	for _, f := range d.Formats {
		raw, err := f.write(inv, s)
		if err != nil {
			return nil, err
		}
		all = append(all, Predicate{Type: f.Type, File: f.file, Body: raw})
	}
	return all, nil
}
