package keychain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Names of the built-in sources, as --credential-helpers has them.
const (
	nameEnv        = "env"
	nameGoogle     = "google"
	nameECR        = "ecr"
	nameACR        = "acr"
	nameGitLab     = "gitlab"
	nameKubernetes = "kubernetes"
)

// Sources says which of the built-in sources may be asked: env, google, ecr, acr,
// gitlab and kubernetes. Its zero value allows all. It is a [pflag.Value]: names with
// commas between them, where each further value adds to the one before, and an empty
// one allows none.
type Sources struct {
	chosen bool
	names  []string
}

var _ pflag.Value = (*Sources)(nil)

// Set adds names.
func (s *Sources) Set(value string) error {
	known := []string{nameEnv, nameGoogle, nameECR, nameACR, nameGitLab, nameKubernetes}
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.Contains(known, name) {
			return fmt.Errorf("there is no %q: it must be of %s", name, strings.Join(known, ", "))
		}
		s.names = append(s.names, name)
	}
	s.chosen = true
	return nil
}

func (s *Sources) String() string { return strings.Join(s.names, ",") }

// Type is what help calls a value.
func (s *Sources) Type() string { return "names" }

func (s *Sources) allows(name string) bool { return !s.chosen || slices.Contains(s.names, name) }

// Bind puts the options' flag into f.
func (o *Options) Bind(f *pflag.FlagSet) {
	f.Var(&o.Sources, "credential-helpers",
		"`names` of the built-in sources of credentials that may be asked, of env, google, ecr, acr, gitlab, kubernetes (default all; none if empty)")
}
