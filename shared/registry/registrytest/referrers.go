package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// referrersPage is how many referrers a page has.
const referrersPage = 2

// subjectOf is the digest of what a manifest refers to; empty if it refers to nothing.
func subjectOf(raw []byte) string {
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil || m.Subject == nil {
		return ""
	}
	return m.Subject.Digest.String()
}

// referrers answers with a page of what refers to a manifest.
func (s *Server) referrers(w http.ResponseWriter, r *http.Request, q request) {
	if !s.cfg.Referrers {
		refuse(w, http.StatusNotFound, "UNSUPPORTED", "no such path")
		return
	}
	all := s.referring(q.repo, q.name)
	from, _ := strconv.Atoi(r.URL.Query().Get("from"))
	from = min(max(from, 0), len(all))
	to := min(from+referrersPage, len(all))
	if to < len(all) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?from=%d>; rel="next"`, r.URL.Path, to))
	}
	w.Header().Set("Content-Type", string(types.OCIImageIndex))
	json.NewEncoder(w).Encode(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: all[from:to]})
}

// referring are the manifests that refer to one, in the order of their digests.
func (s *Server) referring(repo, subject string) []v1.Descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []v1.Descriptor{}
	for key, m := range s.manifests[repo] {
		if key != digest(m.raw) || subjectOf(m.raw) != subject {
			continue
		}
		h, err := v1.NewHash(key)
		parsed, bad := v1.ParseManifest(bytes.NewReader(m.raw))
		if err != nil || bad != nil {
			continue
		}
		all = append(all, v1.Descriptor{
			MediaType: types.MediaType(m.mediaType), Size: int64(len(m.raw)), Digest: h,
			ArtifactType: parsed.ArtifactType, Annotations: parsed.Annotations,
		})
	}
	slices.SortFunc(all, func(a, b v1.Descriptor) int { return bytes.Compare([]byte(a.Digest.Hex), []byte(b.Digest.Hex)) })
	return all
}
