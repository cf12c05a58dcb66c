package object

import (
	"compress/gzip"
	"net/http"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// Options is what a store is asked with.
type Options struct {
	// Getenv has our own variables of the store, which its package names; nil is
	// os.Getenv. What SDKs read they read from the process.
	Getenv    func(string) string
	Client    *http.Client // nil is one with the process's proxies and authorities
	UserAgent string       // of this program, put before the SDK's
}

// Client is base, or one with the process's proxies and authorities if that is
// nil, as stores are talked to with. Requests that fail for a reason which may pass
// are repeated as retry says, so a store's own SDK need not repeat anything.
// Redirects are not followed, since a request is signed for the host that it is
// sent to. Bytes are taken as they are stored: what is marked as gzip is unpacked
// neither here nor by the store, for the rest of an object is counted in its own
// bytes.
func Client(base *http.Client, agent string, retry remote.Retry) *http.Client {
	c := http.Client{}
	if base != nil {
		c = *base
	}
	c.Transport = &remote.Patient{Base: &stored{c.Transport, agent}, Retry: retry}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// stored asks for bytes as they are stored, in the name of a program.
type stored struct {
	base  http.RoundTripper // nil is [http.DefaultTransport]
	agent string            // put before the SDK's name
}

func (s *stored) RoundTrip(req *http.Request) (*http.Response, error) {
	base := s.base
	if base == nil {
		base = http.DefaultTransport
	}
	req = req.Clone(req.Context())
	if sdk := req.UserAgent(); s.agent != "" && sdk != "" {
		req.Header.Set("User-Agent", s.agent+" "+sdk)
	} else if s.agent != "" {
		req.Header.Set("User-Agent", s.agent)
	}
	// Where an SDK has decided, its signature may cover it. Otherwise net/http would
	// ask for gzip and unpack it, and Google's store unpacks unless it is asked for.
	if req.Header.Get("Accept-Encoding") != "" {
		return base.RoundTrip(req)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := base.RoundTrip(req)
	if err != nil || resp.StatusCode < 300 || resp.Header.Get("Content-Encoding") != "gzip" {
		return resp, err
	}
	if err := readable(resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// readable unpacks what a store says instead of an object.
func readable(resp *http.Response) error {
	text, err := gzip.NewReader(resp.Body)
	if err != nil {
		resp.Body.Close()
		return err
	}
	resp.Body = &unpacked{text, resp.Body}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	return nil
}

type unpacked struct {
	*gzip.Reader
	packed interface{ Close() error }
}

func (u *unpacked) Close() error { return u.packed.Close() }
