package sign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	sigstore "github.com/sigstore/sigstore-go/pkg/sign"
)

// The services that anybody may use; see docs.sigstore.dev.
const (
	PublicAuthority = "https://fulcio.sigstore.dev"
	PublicLog       = "https://rekor.sigstore.dev"
)

// patience is how long a service may take for an answer.
const patience = 30 * time.Second

// maxAnswer bounds what is read of a service's answer, in bytes.
const maxAnswer = 1 << 20

// errUnpromised is a log that keeps no promises, such as Rekor from its second version
// on: only bundles have a place for its proofs.
var errUnpromised = errors.New("the transparency log gives no signed entry timestamp, without which a signature under a tag cannot be verified")

// openServices asks the log what version it is, and the other whether it answers.
func (s *Signer) openServices(ctx context.Context) error {
	if at := s.o.Services.Log; at != "" {
		if err := s.openLog(ctx, strings.TrimRight(at, "/")); err != nil {
			return err
		}
	}
	if at := s.o.Services.Timestamp; at != "" {
		s.stamp = sigstore.NewTimestampAuthority(&sigstore.TimestampAuthorityOptions{
			URL: at, Timeout: patience, Transport: s.o.Services.Transport,
		})
		if _, err := s.stamp.GetTimestamp(ctx, []byte("anything")); err != nil {
			return unreachable("ask for a timestamp at "+at, err)
		}
	}
	return nil
}

// openLog finds out which of Rekor's two interfaces the log has.
func (s *Signer) openLog(ctx context.Context, at string) error {
	attempt := "ask the transparency log " + at
	version := uint32(1)
	status, err := probe(ctx, s.o.Services.Transport, at+"/api/v1/log")
	if err == nil && status == http.StatusNotFound {
		version = 2
		status, err = probe(ctx, s.o.Services.Transport, at+"/api/v2/checkpoint")
		if status == http.StatusNotImplemented {
			status = http.StatusOK // it is read somewhere else, as its files
		}
	}
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("it answers %d %s", status, http.StatusText(status))
	}
	if err != nil {
		return unreachable(attempt, err)
	}
	if version == 2 && s.o.Format.tags() {
		return &Error{Attempt: attempt, Err: errUnpromised, code: exitConfig, hint: "give --sign-format=referrers"}
	}
	if version == 2 && s.identity != nil && s.o.Services.Timestamp == "" {
		return &Error{
			Attempt: attempt, Err: errors.New("it does not say when an entry was made, and without a key the signature cannot be verified later"),
			code: exitConfig, hint: "give --sign-tsa-url",
		}
	}
	s.log = sigstore.NewRekor(&sigstore.RekorOptions{BaseURL: at, Timeout: patience, Retries: tries - 1, Version: version})
	return nil
}

// probe asks for a page and returns the status.
func probe(ctx context.Context, via http.RoundTripper, at string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Client{Transport: via}).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) //nolint:errcheck // so that the connection can be used again
	return resp.StatusCode, nil
}

// unreachable is a service that does not do what it is for. Addresses may have a
// password in them, so what http says of the one asked is left out.
func unreachable(attempt string, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &Error{Attempt: attempt, Err: err, code: exitUnavailable}
}
