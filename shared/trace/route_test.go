package trace

import "testing"

func TestRoute(t *testing.T) {
	for path, want := range map[string][2]string{
		"/v2/":                                  {"/v2/", ""},
		"/v2/app/manifests/1.0":                 {"/v2/{name}/manifests/{reference}", "app"},
		"/v2/a/b/blobs/sha256:00":               {"/v2/{name}/blobs/{digest}", "a/b"},
		"/v2/a/b/blobs/uploads/":                {"/v2/{name}/blobs/uploads/", "a/b"},
		"/v2/a/b/blobs/uploads/6ba7b810":        {"/v2/{name}/blobs/uploads/{upload}", "a/b"},
		"/v2/a/tags/list":                       {"/v2/{name}/tags/list", "a"},
		"/v2/a/referrers/sha256:00":             {"/v2/{name}/referrers/{digest}", "a"},
		"/v2/blobs/manifests/blobs/manifests/1": {"/v2/{name}/manifests/{reference}", "blobs/manifests/blobs"},
		"/v2/blobs/uploads":                     {"", ""},
		"/token":                                {"", ""},
		"/":                                     {"", ""},
	} {
		template, repository := route(path)
		if template != want[0] || repository != want[1] {
			t.Errorf("%s is %q of %q, want %q of %q", path, template, repository, want[0], want[1])
		}
	}
}
