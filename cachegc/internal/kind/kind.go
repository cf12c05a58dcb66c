// Package kind lists and deletes what is in a repository, by the kind of registry that
// has it: some delete a digest with its tags, some want the tags gone first, some have
// an interface of their own for it. It decides nothing: what goes is for its caller.
// docs/cachegc-registries.md has the kinds in a table.
package kind

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Registry is how one kind of registry lists and deletes. It is safe for use by several
// goroutines at once.
type Registry interface {
	// Name is the kind, as [Options] has it.
	Name() string
	// Tags gives yield every tag of a repository, in the registry's order, and ends
	// with the first error of it. After an error the list is incomplete. A repository
	// that is not there is [registry.ErrNotFound].
	Tags(ctx context.Context, repo name.Repository, yield func(Tag) error) error
	// Delete removes a manifest and all its tags. What is not there is no error, so it
	// can be done again. Errors have [registry.ErrUnsupported], [registry.ErrLocked] or
	// [registry.ErrReferenced] in their chain where the registry says so; with the last
	// a second attempt may help, after others were deleted.
	Delete(ctx context.Context, repo name.Repository, v Victim) error
	// Probe finds out whether Delete would work, and deletes nothing. The error is of
	// a registry that could not be asked.
	Probe(ctx context.Context, repo name.Repository) (Capabilities, error)
}

// Tag is a tag as the listing has it.
type Tag struct {
	// Name is empty for a manifest without a tag, which is listed if [Options] want it.
	// It may be part of an index that has one.
	Name    string
	Digest  v1.Hash   // zero if the listing does not tell
	Size    int64     // of the image with its layers, in bytes as stored; 0 if the listing does not tell
	Updated time.Time // when the tag, or else the manifest, was last pushed; zero if the listing does not tell
	// Locked is a tag that the registry was told to keep.
	Locked bool
}

// Victim is what is to be deleted.
type Victim struct {
	Digest v1.Hash
	Tags   []string // all that the digest has: kinds that delete those first delete these
	// Used is when it was last used, as far as is known. No registry knows more; a directory
	// of base images does.
	Used time.Time
}

// Capabilities are what a kind of registry can do, and what this one allows.
type Capabilities struct {
	// Delete is whether images can be deleted; Why is the reason if not, or if that
	// is not known.
	Delete Answer
	Why    error
	// Digests, Sizes and Times are what the listing tells of each tag.
	Digests, Sizes, Times bool
	// Untagged is whether the listing can have manifests without a tag.
	Untagged bool
	// Notes are what an operator should know of space that stays in use, a sentence
	// each.
	Notes []string
}

// Answer is what a probe found.
type Answer uint8

// The answers. A registry that answers oddly may delete all the same.
const (
	Unknown Answer = iota
	Yes
	No
)

func (a Answer) String() string { return [...]string{"unknown", "yes", "no"}[a] }

// Options say how a registry is dealt with. The zero value goes by its host.
type Options struct {
	// Kind is one of [Kinds], or auto, or empty for that.
	Kind string
	// API is the address of the interface of its own that a kind has, where it is not
	// the usual one, such as https://github.example/api/v3.
	API string
	// Untagged has manifests without a tag listed, where the kind can.
	Untagged bool
}

// Auto is the kind that goes by the host.
const Auto = "auto"

// Kinds are the names of all kinds.
func Kinds() []string { return []string{"oci", "tags-first", "google", "ghcr", "hub", "acr"} }

// UnknownError is a kind that there is not.
type UnknownError struct{ Kind string }

func (e *UnknownError) Error() string { return fmt.Sprintf("open a registry: no kind %q", e.Kind) }

// Hint names the kinds.
func (e *UnknownError) Hint() string {
	return "give one of " + Auto + ", " + strings.Join(Kinds(), ", ")
}

// ExitCode is that of a wrong command line.
func (e *UnknownError) ExitCode() int { return 64 }

// Open chooses how the registry of a repository is dealt with. It sends nothing yet. The
// error is an [UnknownError].
func Open(client *registry.Client, repo name.Repository, o Options) (Registry, error) {
	kind := o.Kind
	if kind == "" || kind == Auto {
		kind = of(repo.RegistryStr())
	}
	switch kind {
	case "oci":
		return &oci{client: client}, nil
	case "tags-first":
		return &oci{client: client, tagsFirst: true}, nil
	case "google":
		return &google{client: client, untagged: o.Untagged}, nil
	case "ghcr":
		return newGHCR(client, repo, o), nil
	case "hub":
		return newHub(client, o), nil
	case "acr":
		return &acr{client: client, untagged: o.Untagged}, nil
	}
	return nil, &UnknownError{o.Kind}
}

// of is the kind of a registry by its host; docs/cachegc-registries.md has the hosts.
func of(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	switch {
	case host == "ghcr.io":
		return "ghcr"
	case host == name.DefaultRegistry, host == "docker.io", host == "registry-1.docker.io":
		return "hub"
	case strings.HasSuffix(host, ".azurecr.io"), strings.HasSuffix(host, ".azurecr.cn"), strings.HasSuffix(host, ".azurecr.us"):
		return "acr"
	case host == "gcr.io", strings.HasSuffix(host, ".gcr.io"), strings.HasSuffix(host, "-docker.pkg.dev"):
		return "google"
	}
	return "oci"
}
