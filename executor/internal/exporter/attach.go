package exporter

import (
	"context"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/image"
)

// An Attacher brings to registries what accompanies an image there: attestations and
// signatures.
type Attacher interface {
	// Attach is called when the image is in all its repositories under its tags, before
	// the notes are written, once for each subject and each repository: for the images
	// of an index before the index. Where the registry kept another image under every
	// tag of a repository, nothing is attached.
	Attach(ctx context.Context, s Subject) error
}

// Subject is a manifest in a repository.
type Subject struct {
	Repository name.Repository
	Descriptor v1.Descriptor // of the manifest; its platform is set of an image in an index
	Image      v1.Image      // nil of an index
	// Identities are the repository's tags that the subject was pushed for, itself or in
	// an index; not empty.
	Identities []name.Tag
}

// attached exports, and then has something attached to what was exported. Layers have
// nothing attached.
type attached struct {
	*Registry
	to []Attacher
}

// Image pushes img and attaches to it.
func (a *attached) Image(ctx context.Context, img v1.Image) error {
	results, err := a.Registry.deliver(ctx, img)
	if err != nil {
		return err
	}
	d, err := image.Describe(img)
	if err != nil {
		return err
	}
	d.Platform = nil
	return attach(ctx, a.to, results, []member{{d, img}})
}

// member is a manifest that was pushed.
type member struct {
	descriptor v1.Descriptor
	image      v1.Image // nil of an index
}

// attach has each Attacher attach to all members, in each repository of the results.
func attach(ctx context.Context, to []Attacher, results []Result, members []member) error {
	for _, at := range to {
		for repo, tags := range reached(results) {
			for _, m := range members {
				s := Subject{Repository: repo, Descriptor: m.descriptor, Image: m.image, Identities: tags}
				if err := at.Attach(ctx, s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// reached yields the repositories that have what was pushed, in the order of the
// results, with its tags there.
func reached(results []Result) func(func(name.Repository, []name.Tag) bool) {
	return func(yield func(name.Repository, []name.Tag) bool) {
		var repos []name.Repository
		tags := map[string][]name.Tag{}
		for _, r := range results {
			if r.Err != nil || r.Kept != nil {
				continue
			}
			repo := r.Tag.Context()
			if tags[repo.Name()] == nil {
				repos = append(repos, repo)
			}
			if !slices.Contains(tags[repo.Name()], r.Tag) {
				tags[repo.Name()] = append(tags[repo.Name()], r.Tag)
			}
		}
		for _, repo := range repos {
			if !yield(repo, tags[repo.Name()]) {
				return
			}
		}
	}
}
