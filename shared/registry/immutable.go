package registry

import (
	"errors"
	"strings"
)

// ErrImmutable is in the chain of an [Error] when the registry refused to move a tag.
var ErrImmutable = errors.New("the tag is there already and cannot be moved")

// immutable tells whether an answer is that a tag cannot be moved. No specification has
// words for that, so it goes by those of the registries; docs/registries.md lists them.
func (e *statusError) immutable() bool {
	if e.status/100 != 4 || !strings.HasPrefix(e.request, "PUT ") || !strings.Contains(e.request, "/manifests/") {
		return false
	}
	said := e.excerpt
	for _, d := range e.codes {
		said += " " + string(d.Code) + " " + d.Message
	}
	said = strings.ToLower(said)
	for _, words := range []string{
		"immutable", "immutability", // ECR, Harbor, Quay, Artifact Registry
		"imagetagalreadyexists", // ECR
		"the operation is disallowed on this registry, repository or image", // ACR, of a locked tag
		"tag already exists",                                                                               // Gitea, Nexus
		"cannot overwrite", "not allowed to overwrite", "cannot be overwritten", "does not allow updating", // Artifactory, Nexus
	} {
		if strings.Contains(said, words) {
			return true
		}
	}
	return false
}
