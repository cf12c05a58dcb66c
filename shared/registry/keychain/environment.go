package keychain

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// environment knows what stands in variables named after a registry, as kaniko's
// forks have them: for a.b-c.example in KANIKO_A_B_C_EXAMPLE_USER and _PASSWORD, or
// in those of B_C_EXAMPLE.
type environment struct {
	getenv func(string) string
}

func (e environment) resolve(_ context.Context, r authn.Resource) (vouched, []string, error) {
	host := r.RegistryStr()
	for name := host; name != ""; _, name, _ = strings.Cut(name, ".") {
		// A top-level domain is not a registry; its variables would serve anybody's.
		if name != host && !strings.Contains(name, ".") {
			break
		}
		prefix := "KANIKO_" + strings.Map(variable, strings.ToUpper(name))
		user, password := e.getenv(prefix+"_USER"), e.getenv(prefix+"_PASSWORD")
		if user != "" && password != "" {
			return &fixed{authn.AuthConfig{Username: user, Password: password}, fmt.Sprintf("$%s_USER and $%s_PASSWORD", prefix, prefix)}, nil, nil
		}
	}
	return nil, nil, nil
}

// variable is how a letter of a host is written in a variable's name.
func variable(r rune) rune {
	if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}
