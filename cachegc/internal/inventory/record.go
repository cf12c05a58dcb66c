package inventory

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Kind is what a manifest is.
type Kind string

// The kinds. A foreign entry is one of a kaniko before this one: a tag of 64 hexadecimal
// digits, with an image of one layer.
const (
	Entry   Kind = "entry"
	Journal Kind = "journal"
	Foreign Kind = "foreign"
	Base    Kind = "base"  // a base image that warmer has fetched
	Other   Kind = "other" // nothing of a cache, never touched
)

// Record is what is known of a manifest. It never changes, for a digest is that of the
// same bytes for ever, so it is kept from run to run.
type Record struct {
	Kind      Kind            `json:"kind"`
	MediaType types.MediaType `json:"type,omitempty"`
	// Created is when it was made; zero if it does not say.
	Created time.Time `json:"created,omitzero"`
	// Seen is when cachegc first saw it.
	Seen    time.Time `json:"seen"`
	Key     string    `json:"key,omitempty"`
	Parent  string    `json:"parent,omitempty"`
	Lineage string    `json:"lineage,omitempty"`
	Image   string    `json:"image,omitempty"` // of a journal; of a base image, the references
	// Whole tells that the config was read, where it says more than the manifest.
	Whole bool `json:"whole,omitempty"`
	// Blobs are all that it speaks of, and itself.
	Blobs []Blob `json:"blobs,omitempty"`
	// Members are the manifests of an index, and what it is the referrer of.
	Members []string `json:"members,omitempty"`
	// Uses are the keys that a journal's build had to do with.
	Uses []Use `json:"uses,omitempty"`
}

// Blob is a blob, by digest.
type Blob struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // in bytes
}

// Use is what a build had to do with a key.
type Use struct {
	Key string `json:"key"`
	// Entry tells that there was an entry: it was found, or made.
	Entry bool `json:"entry,omitempty"`
}

// ours tells whether the cache knows the record's form.
func (k Kind) ours() bool { return k != Other }

// isKey tells whether a tag has the form of a key.
func isKey(tag string) bool {
	key, err := cachekey.ParseKey(tag)
	return err == nil && string(key) == tag
}

// moving tells whether a tag may stand for something else the next time. An entry may be
// replaced, too; that is looked at before it is deleted.
func moving(tag string) bool { return !isKey(tag) && !strings.HasPrefix(tag, cache.JournalPrefix) }

// read makes a record of a manifest. What is not of a cache is no error.
func read(m *registry.Manifest, tag string, now time.Time) (*Record, error) {
	var said struct {
		v1.Manifest
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(m.Raw, &said); err != nil {
		return nil, fmt.Errorf("read the manifest %s: %w", m.Digest, err)
	}
	r := &Record{Kind: Other, MediaType: m.MediaType, Seen: now.UTC().Truncate(time.Second)}
	for _, d := range said.Manifests {
		r.Members = append(r.Members, d.Digest.String())
	}
	if said.Subject != nil {
		r.Members = append(r.Members, said.Subject.Digest.String())
	}
	r.Kind = kindOf(&said.Manifest, m.MediaType, tag)
	if !r.Kind.ours() {
		return r, nil
	}
	a := said.Annotations
	r.Created = parseTime(a[cache.AnnotationCreated])
	r.Key, r.Parent = a[cache.AnnotationKey], a[cache.AnnotationParent]
	r.Lineage, r.Image = a[cache.AnnotationLineage], a[cache.AnnotationImage]
	if r.Kind == Foreign {
		r.Key = tag
	}
	r.Blobs = append(r.Blobs, Blob{m.Digest.String(), int64(len(m.Raw))})
	for _, d := range append([]v1.Descriptor{said.Config}, said.Layers...) {
		if !slices.ContainsFunc(r.Blobs, func(b Blob) bool { return b.Digest == d.Digest.String() }) {
			r.Blobs = append(r.Blobs, Blob{d.Digest.String(), d.Size})
		}
	}
	return r, nil
}

func kindOf(m *v1.Manifest, mt types.MediaType, tag string) Kind {
	said, marked := m.Annotations[cache.AnnotationKind]
	switch {
	case !mt.IsImage() || m.Subject != nil:
		return Other
	case said == cache.KindEntry && m.Config.MediaType == cache.DefinitionType && isKey(m.Annotations[cache.AnnotationKey]):
		return Entry
	case said == cache.KindJournal && m.Config.MediaType == cache.JournalType:
		return Journal
	case !marked && isKey(tag) && len(m.Layers) == 1 && m.Config.MediaType.IsConfig():
		return Foreign
	}
	return Other
}

// birth is before anything was in a registry: what says that it is older has no time.
func birth() time.Time { return time.Date(2013, 3, 1, 0, 0, 0, 0, time.UTC) }

// parseTime is a time that can be believed, or zero.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Before(birth()) {
		return time.Time{}
	}
	return t.UTC()
}

// readJournal takes from a journal what keys it has to do with, in their order.
func (r *Record) readJournal(raw []byte) error {
	var j cache.Journal
	if err := json.Unmarshal(raw, &j); err != nil {
		return err
	}
	for _, s := range j.Steps {
		if !isKey(string(s.Key)) {
			continue
		}
		entry := s.Use == cache.Hit || s.Use == cache.Made
		i := slices.IndexFunc(r.Uses, func(u Use) bool { return u.Key == string(s.Key) })
		if i < 0 {
			r.Uses = append(r.Uses, Use{string(s.Key), entry})
		} else if entry {
			r.Uses[i].Entry = true
		}
	}
	return nil
}

// readConfig takes from the config of an old kaniko's entry when it was made.
func (r *Record) readConfig(raw []byte) {
	var c struct {
		Created string `json:"created"`
	}
	if json.Unmarshal(raw, &c) == nil {
		r.Created = parseTime(c.Created)
	}
}
