package object

import (
	"net/http"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// Client is base, or one with the process's proxies and authorities if that is
// nil, as stores are talked to with: requests that fail for a reason which may
// pass are repeated as retry says, and redirects are not followed, since a request
// is signed for the host that it is sent to. A store's own SDK need not repeat
// anything.
func Client(base *http.Client, agent string, retry remote.Retry) *http.Client {
	c := http.Client{}
	if base != nil {
		c = *base
	}
	c.Transport = &remote.Patient{Base: &named{c.Transport, agent}, Retry: retry}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// named puts a program's name before that of the SDK.
type named struct {
	base  http.RoundTripper // nil is [http.DefaultTransport]
	agent string            // "" adds nothing
}

func (n *named) RoundTrip(req *http.Request) (*http.Response, error) {
	base := n.base
	if base == nil {
		base = http.DefaultTransport
	}
	if n.agent == "" {
		return base.RoundTrip(req)
	}
	agent := n.agent
	if sdk := req.UserAgent(); sdk != "" {
		agent += " " + sdk
	}
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", agent)
	return base.RoundTrip(req)
}
