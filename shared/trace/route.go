package trace

import "strings"

// route is what a request to a registry is for, with the parts of its path that differ
// each time named (OCI distribution spec, "Endpoints"), and the repository. Of any other
// request both are empty.
func route(path string) (template, repository string) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return "", ""
	}
	if rest == "" {
		return "/v2/", ""
	}
	parts := strings.Split(rest, "/")
	for i := len(parts) - 1; i > 0; i-- {
		var end string
		switch last := parts[i+1:]; {
		case parts[i] == "blobs" && len(last) >= 1 && last[0] == "uploads":
			if end = "blobs/uploads/"; len(last) > 1 && last[1] != "" {
				end += "{upload}"
			}
		case parts[i] == "blobs" && len(last) == 1:
			end = "blobs/{digest}"
		case parts[i] == "manifests" && len(last) == 1:
			end = "manifests/{reference}"
		case parts[i] == "referrers" && len(last) == 1:
			end = "referrers/{digest}"
		case parts[i] == "tags" && len(last) == 1 && last[0] == "list":
			end = "tags/list"
		default:
			continue
		}
		return "/v2/{name}/" + end, strings.Join(parts[:i], "/")
	}
	return "", ""
}
