package attest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/package-url/packageurl-go"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/git"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// Dependencies are what a plan takes from elsewhere: images, and what ADD fetches. The
// build contexts are not among them. fetched has what is known of what ADD fetched: its
// digest, by its address.
func Dependencies(p *plan.Plan, fetched map[string]map[string]string) []Resource {
	var all []Resource
	for _, stage := range p.Stages {
		all = append(all, images(stage.Base.Image)...)
		for _, step := range stage.Steps {
			switch op := step.Op.(type) {
			case plan.Copy:
				all = append(all, from(op.From)...)
				for _, r := range op.Remotes {
					all = append(all, source(r, fetched[r.URL]))
				}
			case plan.Run:
				for _, m := range op.Mounts {
					all = append(all, from(m.From)...)
				}
			}
		}
	}
	return all
}

func from(s *plan.Source) []Resource {
	if s == nil {
		return nil
	}
	return images(s.Image)
}

// images is an image, if there is one.
func images(img *plan.Image) []Resource {
	if img == nil {
		return nil
	}
	return []Resource{{URI: imageURI(img), Digest: map[string]string{img.Digest.Algorithm: img.Digest.Hex}}}
}

// imageURI is a package URL of the type "oci"; of an image that is in no registry its
// address as the user gave it.
func imageURI(img *plan.Image) string {
	ref, err := name.ParseReference(img.Ref)
	if err != nil || strings.Contains(img.Ref, "://") {
		return remote.Redact(img.Ref)
	}
	repo := ref.Context()
	q := map[string]string{"repository_url": repo.Name()}
	if tag, ok := ref.(name.Tag); ok {
		q["tag"] = tag.TagStr()
	}
	if img.Platform.OS != "" {
		q["platform"] = img.Platform.String()
	}
	path := repo.RepositoryStr()
	last := path[strings.LastIndexByte(path, '/')+1:]
	return packageurl.NewPackageURL("oci", "", last, img.Digest.String(), packageurl.QualifiersFromMap(q), "").ToString()
}

// source is what ADD fetches. What is not fetched, since a cache has it, is what the
// Dockerfile says that it has to be.
func source(r plan.Remote, digest map[string]string) Resource {
	out := Resource{URI: remote.Redact(r.URL)}
	if ref, err := git.Parse(r.URL); r.Git && err == nil {
		out.URI = ref.String()
	}
	algorithm, hex, ok := strings.Cut(r.Checksum, ":")
	switch {
	case digest != nil:
		out.Digest = digest
	case r.Git && len(r.Checksum) >= sha1Hex:
		out.Digest = Commit(r.Checksum)
	case ok:
		out.Digest = map[string]string{algorithm: hex}
	}
	return out
}

// sha1Hex is the length of a SHA-1 in hexadecimal.
const sha1Hex = 40

// Commit is the digest of a commit of git.
func Commit(hash string) map[string]string { return map[string]string{"gitCommit": hash} }

// distinct leaves out what is there already, and sorts.
func distinct(all []Resource) []Resource {
	seen := map[string]bool{}
	out := []Resource{}
	for _, r := range all {
		key, err := json.Marshal(r)
		if err == nil && seen[string(key)] {
			continue
		}
		seen[string(key)] = true
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Resource) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.URI, b.URI)) })
	return out
}

// SHA256 is the digest of what is small.
func SHA256(content []byte) map[string]string {
	sum := sha256.Sum256(content)
	return map[string]string{"sha256": hex.EncodeToString(sum[:])}
}
