// Package registry pulls images from registries and pushes to them. It asks for
// nothing twice in a build, tries again what may work the next time, checks
// every byte against its digest, and says in its errors which registry did what.
// It knows nothing of Dockerfiles or builds, and keeps nothing on disk.
package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/semaphore"
)

// Config is what a [Client] depends on; its zero value is an anonymous client.
type Config struct {
	Options  Options
	Keychain authn.Keychain // nil means no credentials
	// Wrap, if set, goes around the transport below everything else, and so sees
	// every request, those for tokens and those repeated included.
	Wrap      func(http.RoundTripper) http.RoundTripper
	UserAgent string
	Retry     Retry
	// Pace, if set, is how fast each host is asked at most.
	Pace *Pace
	// Uploads is how many large blobs are sent at the same time; default 4. Of small
	// ones, which take longer to begin and to end than to send, it is four times as many.
	Uploads int
	// Warn, if set, is told what a user should know although things go on: a mirror
	// that failed, a proxy that limits uploads.
	Warn func(text string)
	// Observe, if set, is told of every blob that moves: kind is "pull" or "push",
	// size is in bytes, -1 where it is not known yet. What it returns is called
	// with increments, never twice for the same bytes, and at the end.
	Observe func(ctx context.Context, kind, name string, size int64) (_ context.Context, moved func(n int64), done func(error))
}

// Client talks to registries on behalf of one build. Tokens, manifests and what
// is known of blobs are remembered as long as it lives. It is safe for use by
// several goroutines at once.
type Client struct {
	cfg      Config
	verified http.RoundTripper // checks certificates
	trusting http.RoundTripper // takes any

	sessions  memo[sessionKey, *session]
	manifests memo[manifestKey, *manifest]
	heads     memo[manifestKey, v1.Hash] // of tags
	images    memo[blobKey, *content]
	blobs     memo[blobKey, struct{}]  // known to be in a repository
	lost      memo[blobKey, struct{}]  // gone from where they were said to be
	spoilt    memo[blobKey, struct{}]  // there, and something else than they should be
	streams   memo[streamKey, v1.Hash] // sent while they were written
	checks    memo[sessionKey, struct{}]
	uploads   *semaphore.Weighted // of shares

	routes  routes
	invalid error // of the options

	mirrors     sync.Mutex
	warned      map[string]bool   // hosts of mirrors, of which it was said that they failed
	unreachable map[string]*Error // hosts of mirrors, and how they failed

	chunks chunks

	lists sync.Mutex // held while a list of referrers is changed
}

// New returns a client. It sends nothing yet. What [Options.Check] finds wrong is the
// error of all that is asked of it.
func New(c Config) *Client {
	c.Retry = c.Retry.fill()
	if c.Uploads <= 0 {
		c.Uploads = 4
	}
	if c.Keychain == nil {
		c.Keychain = authn.NewMultiKeychain()
	}
	if c.Observe == nil {
		c.Observe = func(ctx context.Context, _, _ string, _ int64) (context.Context, func(int64), func(error)) {
			return ctx, func(int64) {}, func(error) {}
		}
	}
	if c.Warn == nil {
		c.Warn = func(string) {}
	}
	cl := &Client{
		cfg: c, uploads: semaphore.NewWeighted(int64(c.Uploads) * largeShare),
		warned: map[string]bool{}, unreachable: map[string]*Error{},
	}
	cl.routes, cl.invalid = newRoutes(&c.Options)
	special, err := readIdentities(&c.Options)
	if cl.invalid == nil {
		cl.invalid = err
	}
	cl.verified = cl.transport(special, false)
	cl.trusting = cl.transport(special, true)
	return cl
}

func (c *Client) transport(special map[string]*identity, unverified bool) http.RoundTripper {
	hosts := &byHost{others: connections(nil, nil, unverified), special: map[string]http.RoundTripper{}}
	for host, is := range special {
		hosts.special[host] = connections(is.authorities, is.ours, unverified)
	}
	var rt http.RoundTripper = hosts
	if c.cfg.Wrap != nil {
		rt = c.cfg.Wrap(rt)
	}
	rt = &retrying{inner: rt, retry: c.cfg.Retry, pace: c.cfg.Pace}
	rt = &pings{inner: rt}
	return transport.NewUserAgent(rt, c.cfg.UserAgent)
}

func connections(authorities *x509.CertPool, ours []tls.Certificate, unverified bool) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   20 * time.Second,
		TLSClientConfig:       &tls.Config{RootCAs: authorities, Certificates: ours, InsecureSkipVerify: unverified},
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		// A blob is what its digest says; nobody may compress it on the way.
		DisableCompression: true,
	}
}

// Reference reads the name of an image to be pulled. The error is a
// [ReferenceError].
func (c *Client) Reference(s string) (name.Reference, error) {
	ref, err := name.ParseReference(s, name.WeakValidation)
	if err == nil && c.cfg.Options.plain(pull, ref.Context().RegistryStr()) {
		ref, err = name.ParseReference(s, name.WeakValidation, name.Insecure)
	}
	if err != nil {
		return nil, &ReferenceError{s, err}
	}
	return ref, nil
}

// Tag reads the name of an image to be pushed. The error is a [ReferenceError].
func (c *Client) Tag(s string) (name.Tag, error) {
	tag, err := name.NewTag(s, name.WeakValidation)
	if err == nil && c.cfg.Options.plain(push, tag.RegistryStr()) {
		tag, err = name.NewTag(s, name.WeakValidation, name.Insecure)
	}
	if err != nil {
		return name.Tag{}, &ReferenceError{s, err}
	}
	return tag, nil
}

// repository is a repository by its name, with plain HTTP if the role allows that.
func (c *Client) repository(r role, s string) (name.Repository, error) {
	repo, err := name.NewRepository(s, name.WeakValidation)
	if err == nil && c.cfg.Options.plain(r, repo.RegistryStr()) {
		repo, err = name.NewRepository(s, name.WeakValidation, name.Insecure)
	}
	if err != nil {
		return name.Repository{}, &ReferenceError{s, err}
	}
	return repo, nil
}

// Repository reads the name of a repository that is both read and written. Plain
// HTTP is allowed if it is for either. The error is a [ReferenceError].
func (c *Client) Repository(s string) (name.Repository, error) {
	repo, err := name.NewRepository(s, name.WeakValidation)
	if err == nil && (c.cfg.Options.plain(push, repo.RegistryStr()) || c.cfg.Options.plain(pull, repo.RegistryStr())) {
		repo, err = name.NewRepository(s, name.WeakValidation, name.Insecure)
	}
	if err != nil {
		return name.Repository{}, &ReferenceError{s, err}
	}
	return repo, nil
}

// sessionKey tells apart the talks a client has. from is a repository that blobs
// are mounted from, empty for all else; actions are more than reading and writing.
type sessionKey struct {
	role    role
	repo    string
	from    string
	actions string
}

// session is a talk with one repository: a token and where it came from.
type session struct {
	repo        name.Repository
	http        *http.Client
	scopes      []string
	credentials credentials
}

// credentials are where those in use came from and, without any, where they were
// looked for.
type credentials struct {
	source string
	tried  []string
}

// credentialsOf asks the keychain for a repository, or for a registry.
func (c *Client) credentialsOf(ctx context.Context, r authn.Resource) (authn.Authenticator, credentials, error) {
	auth, err := authn.Resolve(ctx, c.cfg.Keychain, r)
	if err != nil {
		return nil, credentials{}, err
	}
	var from credentials
	t, searched := auth.(interface{ Tried() []string })
	if searched {
		from.tried = t.Tried()
	}
	if n, ok := auth.(interface{ Source() string }); ok {
		from.source = n.Source()
	} else if searched {
		auth = authn.Anonymous // which go-containerregistry knows by its identity
	} else if auth != authn.Anonymous {
		from.source = "the keychain"
	}
	return auth, from, nil
}

func (c *Client) session(ctx context.Context, r role, repo name.Repository) (*session, error) {
	return c.sessions.get(ctx, sessionKey{role: r, repo: repo.Name()}, func(ctx context.Context) (*session, error) {
		scope := repo.Scope(transport.PullScope)
		if r == push {
			scope = repo.Scope(transport.PushScope)
		}
		return c.open(ctx, r, repo, scope)
	})
}

// mounting is a session that may also read from another repository of the registry.
func (c *Client) mounting(ctx context.Context, repo, from name.Repository) (*session, error) {
	return c.sessions.get(ctx, sessionKey{role: push, repo: repo.Name(), from: from.Name()}, func(ctx context.Context) (*session, error) {
		// Some registries look at the first scope only, so the important one leads.
		return c.open(ctx, push, repo, repo.Scope(transport.PushScope), from.Scope(transport.PullScope))
	})
}

func (c *Client) open(ctx context.Context, r role, repo name.Repository, scopes ...string) (*session, error) {
	if c.invalid != nil {
		return nil, c.invalid
	}
	s := &session{repo: repo, scopes: scopes}
	auth, from, err := c.credentialsOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	s.credentials = from
	rt := c.verified
	if c.cfg.Options.unverified(r, repo.RegistryStr()) {
		rt = c.trusting
	}
	if again := c.cfg.Options.retries(r); again != (Retries{}) {
		rt = &counted{rt, again.tries}
	}
	rt, err = transport.NewWithContext(ctx, repo.Registry, auth, rt, scopes)
	if err != nil {
		return nil, &sessionError{s, err}
	}
	s.http = &http.Client{Transport: rt, CheckRedirect: checkRedirect}
	return s, nil
}

// sessionError carries what is known of a session that could not be opened to who makes
// the error of it.
type sessionError struct {
	session *session
	err     error
}

func (e *sessionError) Error() string { return e.err.Error() }
func (e *sessionError) Unwrap() error { return e.err }

// request builds a request to a path below /v2/<repository>/.
func (s *session) request(ctx context.Context, method, path string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, method,
		fmt.Sprintf("%s://%s/v2/%s/%s", s.repo.Scheme(), s.repo.RegistryStr(), s.repo.RepositoryStr(), path), nil)
}
