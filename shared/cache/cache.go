// Package cache keeps what steps of builds made, for later builds: layers by the
// hash of what they depend on, in a repository of a registry or in an OCI layout.
// It owns the form of an entry and of the journal of a build; what a key means is
// for those who make it.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// ErrMiss says that the cache has nothing for a key that could be used. What wraps
// it says why, if that is known: an entry may be too old, or damaged.
var ErrMiss = errors.New("not in the cache")

// Store is where entries are.
type Store interface {
	// Get finds the entry of a key. Without one, or with one that is not what it
	// should be, the error is an [ErrMiss]. The entry's layer is not fetched; ctx
	// governs its later reads too.
	Get(ctx context.Context, key cachekey.Key) (*Entry, error)
	// Put makes an entry, in place of one of the same key. It is found only when
	// all of it is there.
	Put(ctx context.Context, r Result) error
	// Definition is the text of which key is the hash, if the store has it; else
	// an [ErrMiss].
	Definition(ctx context.Context, key cachekey.Key) (cachekey.Definition, error)
}

// Journals is where builds leave word of what they used.
type Journals interface {
	// Record leaves the journal of a build, and makes it the last of its lineage.
	Record(ctx context.Context, j Journal) error
	// Last is the journal that a build of the lineage left last; an [ErrMiss]
	// without one.
	Last(ctx context.Context, lineage string) (*Journal, error)
	// OfImage is the journal of the build that made an image, the last of them if
	// there were several; an [ErrMiss] without one.
	OfImage(ctx context.Context, image v1.Hash) (*Journal, error)
}

// Entry is what the cache has for a key.
type Entry struct {
	Key cachekey.Key
	// Layer is what the step did to files; nil if that is nothing. Reading one that
	// is not there any more, or not what it was, fails with a [LostError]. It is a
	// layer.Indexed if the entry has an index.
	Layer v1.Layer
	// Index opens the index that was put with the entry, as it was put; nil if none
	// was. It fails with a [LostError] as the layer does.
	Index   func() (io.ReadCloser, error)
	Created time.Time
	// From says where the entry was found, for people.
	From string
}

// Result is what a step made, to become an entry.
type Result struct {
	Definition cachekey.Definition
	Layer      v1.Layer // finished; nil if the step changed no file
	// Index opens the layer's index, as package layer writes it; nil without. A
	// result without a layer may have the indexes of others.
	Index   func() (io.ReadCloser, error)
	Created time.Time
	// Parent is the key of the step before, empty for the first.
	Parent cachekey.Key
	// Lineage tells which builds belong together: see [Journal].
	Lineage string
	// Text is the instruction, for people who look at the entry.
	Text string
}

// Journal is what one build used of the cache and left there.
type Journal struct {
	// Lineage is the same for builds of the same image: a hash, in hexadecimal, of
	// where it goes, its Dockerfile, target and platform.
	Lineage string `json:"lineage"`
	// Image is the digest of what was built; empty if the build failed.
	Image   string    `json:"image,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Tool    string    `json:"tool"` // name and version of what built
	Steps   []Step    `json:"steps"`
	// Definitions are those of steps that left no entry: kept beside the journal, so
	// that [Store.Definition] has them.
	Definitions []cachekey.Definition `json:"-"`
}

// Step is what became of one step.
type Step struct {
	Stage int          `json:"stage"` // its number in the Dockerfile
	Name  string       `json:"name,omitempty"`
	Line  int          `json:"line"`
	Text  string       `json:"text"`
	Key   cachekey.Key `json:"key,omitempty"`
	// Use is what the cache was to the step.
	Use Use `json:"use"`
	// Missed says why there was no hit, a line for each reason.
	Missed []string `json:"missed,omitempty"`
	// Size is the layer's, in bytes; 0 if it has none or that is not known.
	Size int64 `json:"size,omitempty"`
}

// Use is what the cache was to a step.
type Use string

// The uses of a cache.
const (
	Hit     Use = "hit"     // the entry was taken
	Made    Use = "made"    // the step was done, and left an entry
	Done    Use = "done"    // the step was done, and left none
	Skipped Use = "skipped" // nobody needed the step: all that is made of it was hit
)

// LostError says that an entry was found, and its layer then could not be read.
type LostError struct {
	Key cachekey.Key
	Err error
	// Away tells that it is not the entry that is gone or damaged: the cache could not
	// be asked for it, and cannot be expected to have others.
	Away bool
}

func (e *LostError) Error() string {
	return fmt.Sprintf("read layer of cache entry %s: %v", e.Key, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }
