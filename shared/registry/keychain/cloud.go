package keychain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Patience bounds everything that is asked of a cloud for one answer.
const Patience = 30 * time.Second

// Clouds are what gets credentials for the registries of clouds, with the clouds' own
// libraries: package clouds has all. A program that leaves one nil links nothing of it;
// it knows the cloud's registries all the same, and says where it has no credentials
// for one why.
type Clouds struct {
	Google, ECR, ACR func(Options) Fetch
}

// Fetch gets credentials for a realm, which is what they are good for: ECR's is a
// region (and "-fips" if that was asked for) or "public.ecr.aws", ACR's a registry,
// and Google has one only, without a name.
type Fetch func(ctx context.Context, realm string) (Token, error)

// errLeftOut is a cloud whose libraries this program does not link.
var errLeftOut = errors.New("this program is a slim one, and was built without it; the executor's full image has it")

// newCloud is the source for a cloud's registries.
func newCloud(title string, realm func(string) (string, bool), fetch func(Options) Fetch, o Options) source {
	c := &cloudSource{title: title, realm: realm}
	c.fetch = func(context.Context, string) (Token, error) { return Token{}, errLeftOut }
	if fetch != nil {
		c.fetch = fetch(o)
	}
	return c
}

// cloudSource is a source for the registries of one cloud. It is asked for no other host, so
// that a build which has nothing to do with the cloud never talks to it.
type cloudSource struct {
	title string
	// realm is what credentials for a host are good for: hosts of one realm share
	// them. It is false for a host that is not the cloud's.
	realm func(host string) (string, bool)
	fetch Fetch

	mu    sync.Mutex
	known map[string]*renewed
}

func (c *cloudSource) resolve(ctx context.Context, r authn.Resource) (vouched, []string, error) {
	realm, ok := c.realm(r.RegistryStr())
	if !ok {
		return nil, nil, nil
	}
	a := c.of(realm)
	if _, err := a.AuthorizationContext(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("get credentials from %s: %w", c.title, context.Cause(ctx))
		}
		return nil, []string{c.title + ": " + brief(err.Error())}, nil
	}
	return a, nil, nil
}

func (c *cloudSource) of(realm string) *renewed {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.known[realm]
	if !ok {
		a = newRenewed(c.title, func(ctx context.Context) (Token, error) {
			ctx, cancel := context.WithTimeout(ctx, Patience)
			defer cancel()
			return c.fetch(ctx, realm)
		})
		if c.known == nil {
			c.known = map[string]*renewed{}
		}
		c.known[realm] = a
	}
	return a
}

// Outward is the transport to a cloud's public addresses.
func (o Options) Outward() http.RoundTripper {
	if o.HTTP != nil {
		return o.HTTP
	}
	return http.DefaultTransport
}

// Inward is the transport to what only this machine's network segment has, which no
// proxy can reach.
func (o Options) Inward() http.RoundTripper {
	if o.HTTP != nil {
		return o.HTTP
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.DisableKeepAlives = true
	return t
}
