package keychain

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	// ambientPatience bounds the search for credentials that a machine may have been
	// given: outside of the cloud nobody answers.
	ambientPatience = 5 * time.Second
	// cloudPatience bounds everything that is asked of a cloud for one answer.
	cloudPatience = 30 * time.Second
	// maxReply bounds what a cloud may say, in bytes.
	maxReply = 1 << 20
)

// cloudSource is a source for the registries of one cloud. It is asked for no other host, so
// that a build which has nothing to do with the cloud never talks to it.
type cloudSource struct {
	title string
	// realm is what credentials for a host are good for: hosts of one realm share
	// them. It is false for a host that is not the cloud's.
	realm func(host string) (string, bool)
	fetch func(ctx context.Context, realm string) (token, error)

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
		a = newRenewed(c.title, func(ctx context.Context) (token, error) {
			ctx, cancel := context.WithTimeout(ctx, cloudPatience)
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

// outward is the transport to a cloud's public addresses.
func (o Options) outward() http.RoundTripper {
	if o.HTTP != nil {
		return o.HTTP
	}
	return http.DefaultTransport
}

// inward is the transport to what only this machine's network segment has, which no
// proxy can reach.
func (o Options) inward() http.RoundTripper {
	if o.HTTP != nil {
		return o.HTTP
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.DisableKeepAlives = true
	return t
}
