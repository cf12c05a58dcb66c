package inventory

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
)

// TakeBases makes an inventory of base images. Those of one repository are a lineage.
func TakeBases(b *place.Bases) (*Inventory, error) {
	images, err := b.Images()
	if err != nil {
		return nil, err
	}
	var out Inventory
	for _, i := range images {
		r := &Record{Kind: Base, MediaType: i.MediaType, Created: i.Warmed.UTC(), Seen: i.Warmed.UTC(), Image: strings.Join(i.Names, " ")}
		if len(i.Names) > 0 {
			r.Lineage = fmt.Sprintf("%x", sha256.Sum256([]byte(repository(i.Names[0]))))
		}
		for _, blob := range i.Blobs {
			r.Blobs = append(r.Blobs, Blob{blob.Digest.String(), blob.Size})
		}
		out.Tags += len(i.Refs)
		out.Items = append(out.Items, &Item{Record: r, Digest: i.Digest.String(), Tags: i.Refs, Used: i.Used.UTC()})
	}
	slices.SortFunc(out.Items, func(a, b *Item) int { return cmp.Compare(a.Digest, b.Digest) })
	return &out, nil
}

// repository is a reference without its tag or digest.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if colon := strings.LastIndex(ref, ":"); colon > strings.LastIndex(ref, "/") {
		ref = ref[:colon]
	}
	return ref
}
