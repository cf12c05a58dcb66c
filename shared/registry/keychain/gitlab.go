package keychain

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// gitlab knows the registry and the dependency proxy of a GitLab that runs a job, by
// the variables that every job has. Who sets a user and a password for the registry
// means them to be used rather than the job's own token.
type gitlab struct {
	getenv func(string) string
}

func (g gitlab) resolve(_ context.Context, r authn.Resource) (vouched, []string, error) {
	host := withoutPort(r.RegistryStr())
	var missing []string
	for _, p := range []struct{ server, user, password string }{
		{"CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"},
		{"CI_REGISTRY", "", "CI_JOB_TOKEN"},
		{"CI_DEPENDENCY_PROXY_SERVER", "CI_DEPENDENCY_PROXY_USER", "CI_DEPENDENCY_PROXY_PASSWORD"},
	} {
		server, _, _ := strings.Cut(canonical(g.getenv(p.server)), "/")
		if server == "" || withoutPort(server) != host {
			continue
		}
		user, password := "gitlab-ci-token", g.getenv(p.password)
		if p.user != "" {
			user = g.getenv(p.user)
		}
		if user != "" && password != "" {
			return &fixed{authn.AuthConfig{Username: user, Password: password}, "GitLab, $" + p.password}, nil, nil
		}
		missing = append(missing, "GitLab: $"+p.password+" is empty")
	}
	return nil, missing, nil
}

// withoutPort is a host without HTTPS's port, with which GitLab writes some of them.
func withoutPort(host string) string { return strings.TrimSuffix(host, ":443") }
