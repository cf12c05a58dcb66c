// Package keychain finds the credentials for registries: where Docker, podman and
// GitLab keep them, in the programs that those name, in what a cloud gives its
// machines and in a cluster's image-pull secrets. It says where what it found came
// from, and what it tried where it found nothing; never what it found.
package keychain

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Options are what a [Keychain] depends on.
type Options struct {
	// Getenv is usually [os.Getenv]. The clouds' own libraries read the environment
	// of the process.
	Getenv func(string) string
	// Sources names the built-in sources that may be asked, beside the files and the
	// programs that those name; see [Sources].
	Sources Sources
	// HTTP carries what the built-in sources ask; nil means their own transports.
	HTTP http.RoundTripper
}

// Keychain asks one source after the other, and remembers what it was told as long
// as it lives, which is a build. It is safe for use by several goroutines at once.
type Keychain struct {
	sources []source
}

var _ authn.ContextKeychain = (*Keychain)(nil)
var _ authn.Keychain = (*Keychain)(nil)

// source is a place that may know credentials.
type source interface {
	// resolve returns who speaks for a repository or, if nobody does, why: a line for
	// each place it looked in, and none if the registry is not one that it could know.
	// An error is of credentials that are configured and cannot be had.
	resolve(ctx context.Context, r authn.Resource) (vouched, []string, error)
}

// vouched are credentials that tell where they came from.
type vouched interface {
	authn.Authenticator
	authn.ContextAuthenticator
	Source() string
}

// New returns a keychain with these clouds: those of package clouds, or fewer. It reads
// nothing and asks nobody yet.
func New(o Options, clouds Clouds) *Keychain {
	inside := builtin(o, clouds)
	k := &Keychain{}
	for _, d := range documents(o.Getenv) {
		d.inside, d.programs = inside, kanikoDir
		k.sources = append(k.sources, d)
	}
	for _, b := range inside {
		if o.Sources.allows(b.name) {
			k.sources = append(k.sources, b.source)
		}
	}
	return k
}

// From are the options with that environment.
func (o Options) From(getenv func(string) string) Options {
	o.Getenv = getenv
	return o
}

// named is a built-in source under its name for --credential-helpers.
type named struct {
	name string
	// programs are the helper programs, without docker-credential-, that it does the
	// work of where they are not installed.
	programs []string
	source   source
}

// builtin are the built-in sources, in the order in which they are asked.
func builtin(o Options, clouds Clouds) []named {
	return []named{
		{nameEnv, nil, environment{o.Getenv}},
		{nameGoogle, does(clouds.Google, "gcr", "gcloud"), newCloud("Google", googleRealm, clouds.Google, o)},
		{nameECR, does(clouds.ECR, "ecr-login"), newCloud("ECR", ecrRealm, clouds.ECR, o)},
		{nameACR, does(clouds.ACR, "acr-env", "acr"), newCloud("ACR", acrRealm, clouds.ACR, o)},
		{nameGitLab, []string{"gitlabci"}, gitlab{o.Getenv}},
		{nameKubernetes, nil, newKubernetes(o)},
	}
}

// does are the helper programs whose work fetch does: none, if it is left out.
func does(fetch func(Options) Fetch, programs ...string) []string {
	if fetch == nil {
		return nil
	}
	return programs
}

// Resolve is ResolveContext for those who have no context.
func (k *Keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), r)
}

// ResolveContext finds the credentials for a repository or a registry. What it
// returns has a method Tried() []string, the places that had nothing, and if there
// are credentials one Source() string; else it is anonymous. Errors are an [Error].
func (k *Keychain) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	var tried []string
	for _, s := range k.sources {
		a, why, err := s.resolve(ctx, r)
		if err != nil {
			return nil, err
		}
		if a != nil {
			return &found{a, tried}, nil
		}
		tried = append(tried, why...)
	}
	return &nobody{tried}, nil
}

// found are credentials, and what had none before them.
type found struct {
	vouched
	tried []string
}

// Tried is where was looked before.
func (f *found) Tried() []string { return f.tried }

// nobody is anonymous, after a search.
type nobody struct{ tried []string }

// Authorization is empty.
func (*nobody) Authorization() (*authn.AuthConfig, error) { return &authn.AuthConfig{}, nil }

// Tried is where was looked, and why there was nothing.
func (n *nobody) Tried() []string { return n.tried }

// fixed are credentials that do not change.
type fixed struct {
	auth   authn.AuthConfig
	source string
}

func (f *fixed) Authorization() (*authn.AuthConfig, error) {
	a := f.auth
	return &a, nil
}

// AuthorizationContext is Authorization.
func (f *fixed) AuthorizationContext(context.Context) (*authn.AuthConfig, error) {
	return f.Authorization()
}

// Source is where the credentials came from.
func (f *fixed) Source() string { return f.source }
