package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Image opens what the user named: oci:DIR[:TAG], tar:FILE, or a registry reference with or without docker://.
func Image(ref string) (v1.Image, error) {
	scheme, rest, _ := strings.Cut(ref, ":")
	switch scheme {
	case "oci":
		return fromLayout(rest)
	case "tar":
		return tarball.ImageFromPath(rest, nil)
	case "docker":
		ref = strings.TrimPrefix(rest, "//")
	}
	r, err := name.ParseReference(ref) // loopback registries are spoken to in plain HTTP
	if err != nil {
		return nil, err
	}
	return remote.Image(r)
}

func fromLayout(spec string) (v1.Image, error) {
	dir, tag := spec, ""
	if _, err := os.Stat(dir); err != nil {
		if i := strings.LastIndexByte(spec, ':'); i > 0 {
			dir, tag = spec[:i], spec[i+1:]
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []v1.Descriptor
	for _, d := range m.Manifests {
		if tag == "" || d.Annotations["org.opencontainers.image.ref.name"] == tag {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s: %d images of %d match tag %q, want one", dir, len(found), len(m.Manifests), tag)
	}
	if !found[0].MediaType.IsIndex() {
		return index.Image(found[0].Digest)
	}
	sub, err := index.ImageIndex(found[0].Digest)
	if err != nil {
		return nil, err
	}
	sm, err := sub.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(sm.Manifests) != 1 {
		return nil, fmt.Errorf("%s: an index of %d images, want one", dir, len(sm.Manifests))
	}
	return sub.Image(sm.Manifests[0].Digest)
}
