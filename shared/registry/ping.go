package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
)

// pings answers the question that opens every session, whether a registry is
// there and how it wants to be authenticated with, from memory after the first
// time.
type pings struct {
	inner   http.RoundTripper
	answers memo[string, *pong]

	mu    sync.Mutex
	plain map[string]bool // hosts found to speak HTTP
}

type pong struct {
	status int
	header http.Header
	body   []byte
}

// errPlain spares a host which is known to speak HTTP another try with TLS.
var errPlain = errors.New("the registry speaks plain HTTP")

func (p *pings) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet || req.URL.Path != "/v2/" || req.URL.RawQuery != "" || req.Header.Get("Authorization") != "" {
		return p.inner.RoundTrip(req)
	}
	if req.URL.Scheme == "https" && p.isPlain(req.URL.Host) {
		return nil, errPlain
	}
	key := req.URL.Scheme + "://" + req.URL.Host
	a, err := p.answers.get(req.Context(), key, func(ctx context.Context) (*pong, error) {
		resp, err := p.inner.RoundTrip(req.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		if err != nil {
			return nil, err
		}
		return &pong{resp.StatusCode, resp.Header, body}, nil
	})
	if err != nil {
		return nil, err
	}
	switch a.status {
	case http.StatusOK, http.StatusUnauthorized:
		if req.URL.Scheme == "http" {
			p.setPlain(req.URL.Host)
		}
	default:
		p.answers.forget(key)
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		StatusCode: a.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        a.header.Clone(),
		Body:          io.NopCloser(bytes.NewReader(a.body)),
		ContentLength: int64(len(a.body)),
		Request:       req,
	}, nil
}

func (p *pings) isPlain(host string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.plain[host]
}

func (p *pings) setPlain(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plain == nil {
		p.plain = make(map[string]bool)
	}
	p.plain[host] = true
}

// checkRedirect follows a registry to where it keeps its blobs, but not into
// this machine nor to what only this machine's network segment has, such as a
// cloud's metadata service.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("ten redirects and no end")
	}
	return checkHost(via[0].URL.Hostname(), req.URL.Hostname())
}

func checkHost(from, to string) error {
	if from == to {
		return nil
	}
	if a, err := netip.ParseAddr(to); err == nil {
		a = a.Unmap()
		if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsUnspecified() {
			return fmt.Errorf("%s sends on to %s, where nothing public can be", from, to)
		}
	}
	return nil
}
