package sign

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// tries is how often a service is asked that says it cannot answer now, and wait how
// long the first pause is; each later one is twice as long.
const (
	tries = 3
	wait  = 500 * time.Millisecond
)

// patient asks again where a service cannot answer now, and asks nothing any more when
// the build is over. Sigstore's clients have loops of their own, which lose the last
// answer, and make requests that know of no context.
type patient struct {
	build context.Context
	inner http.RoundTripper
}

func (p *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	// The build's, so that who looks at requests sees of what they are a part.
	ctx, cancel := context.WithCancel(p.build)
	stop := context.AfterFunc(req.Context(), cancel)
	resp, err := p.roundTrip(req.WithContext(ctx))
	if err != nil {
		stop()
		cancel()
		if p.build.Err() != nil {
			err = context.Cause(p.build)
		}
		return nil, err
	}
	resp.Body = &ending{resp.Body, func() { stop(); cancel() }}
	return resp, nil
}

func (p *patient) roundTrip(req *http.Request) (*http.Response, error) {
	for n, pause := 1, wait; ; n, pause = n+1, 2*pause {
		again, err := renewed(req)
		if err != nil {
			return nil, err
		}
		resp, err := p.inner.RoundTrip(again)
		if err != nil || !passing(resp.StatusCode) {
			return resp, err
		}
		refusal := refused(resp)
		if n == tries {
			return nil, refusal
		}
		select {
		case <-time.After(pause):
		case <-req.Context().Done():
			return nil, context.Cause(req.Context())
		}
	}
}

// passing tells whether what a service says may be otherwise the next time.
func passing(status int) bool {
	return status >= 500 && status != http.StatusNotImplemented || status == http.StatusTooManyRequests
}

// refused is what an answer says, as an error. It closes the answer.
func refused(resp *http.Response) error {
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what could be read has to do
	return &answerError{resp.StatusCode, resp.Header, strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " ")}
}

// maxRefusal bounds what is told of what a service says, in bytes.
const maxRefusal = 300

// renewed is a request with a body that was not read yet.
func renewed(req *http.Request) (*http.Request, error) {
	if req.GetBody == nil {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again, nil
}

// ending is a body at whose end there is something to do.
type ending struct {
	io.ReadCloser
	end func()
}

func (e *ending) Close() error {
	defer e.end()
	return e.ReadCloser.Close()
}
