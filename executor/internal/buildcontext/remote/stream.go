package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Stream reads the file at an http or https URL as it arrives. If it breaks off, the
// rest is asked for; where the server cannot give that, or not surely of the same
// file, all of it, which must begin as what was read already. It is given up after as
// many tries as [Retry] has; one after which another MiB arrived makes those before it
// forgotten. What a server compresses for the way stays compressed. User and password in the URL are sent to its host and to
// no other. A nil client is one of its own, with the process's proxies and authorities.
func Stream(ctx context.Context, client *http.Client, url string) (io.ReadCloser, error) {
	return stream(ctx, client, url, Retry{})
}

func stream(ctx context.Context, client *http.Client, source string, retry Retry) (io.ReadCloser, error) {
	d, err := newDownload(client, source, retry)
	if err != nil {
		return nil, err
	}
	s := &streamed{download: d, ctx: ctx, sum: sha256.New()}
	if err := s.begin(); err != nil {
		return nil, err
	}
	return s, nil
}

// newDownload makes ready to ask for a file.
func newDownload(client *http.Client, source string, retry Retry) (*download, error) {
	u, err := url.Parse(source)
	if err != nil {
		// url.Parse repeats all of it, and so the password.
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, &Error{URL: Redact(source), Err: fmt.Errorf("not a URL: %w", err)}
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, &Error{URL: Redact(source), Err: errors.New("not an http or https URL")}
	}
	own := http.Client{}
	if client != nil {
		own = *client
	}
	retry = retry.Filled()
	own.Transport = &Patient{Base: own.Transport, Retry: retry}
	return &download{client: &own, url: u, retry: retry}, nil
}

// streamed is a file on its way.
type streamed struct {
	*download
	ctx  context.Context
	body io.ReadCloser // nil while there is none
	sum  hash.Hash     // of what was read
	at   int64         // how much that is
	// validator is the server's word for this very content, for If-Range; empty if it
	// gave none that is strong enough.
	validator string
	failed    int   // tries
	mark      int64 // where the last one ended
	err       error
}

// Read implements [io.Reader].
func (s *streamed) Read(p []byte) (int, error) {
	for s.err == nil {
		if s.body == nil {
			if s.err = s.again(); s.err != nil {
				break
			}
		}
		n, err := s.body.Read(p)
		s.sum.Write(p[:n])
		s.at += int64(n)
		switch {
		case err == io.EOF:
			s.err = io.EOF
			return n, err
		case err != nil:
			s.body.Close()
			s.body = nil
			s.give(err)
		}
		if n > 0 {
			return n, nil // an error is for the next one
		}
	}
	return 0, s.err
}

// forget is how much has to arrive until the tries before it count no more, in bytes.
const forget = 1 << 20

// give notes that a try failed, and gives up if it was the last one.
func (s *streamed) give(err error) {
	if s.at-s.mark >= forget {
		s.failed = 0
	}
	s.failed, s.mark = s.failed+1, s.at
	if !broken(err) || s.failed >= s.retry.Tries || s.ctx.Err() != nil {
		s.err = s.fail(fmt.Errorf("after %d bytes: %w", s.at, err))
	}
}

// Close implements [io.Closer].
func (s *streamed) Close() error {
	if s.err == nil {
		s.err = errors.New("closed")
	}
	if s.body == nil {
		return nil
	}
	body := s.body
	s.body = nil
	return body.Close()
}

// begin asks for the file.
func (s *streamed) begin() error {
	resp, err := s.ask("")
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 || resp.StatusCode == http.StatusPartialContent {
		defer resp.Body.Close()
		return s.refused(resp)
	}
	s.body = resp.Body
	if tag := resp.Header.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		s.validator = tag
	}
	return nil
}

func (s *streamed) ask(from string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		return nil, s.fail(err)
	}
	// Otherwise net/http asks for gzip and takes it off: then a range would be one of
	// other bytes.
	req.Header.Set("Accept-Encoding", "identity")
	if from != "" {
		req.Header.Set("Range", from)
		req.Header.Set("If-Range", s.validator)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, s.fail(err)
	}
	return resp, nil
}

func (s *streamed) refused(resp *http.Response) error {
	return &StatusError{URL: Redact(s.url.String()), Status: resp.StatusCode, Tries: s.tries(resp), Via: s.via(resp)}
}

// again goes on where the last answer broke off.
func (s *streamed) again() error {
	if err := s.retry.Pause(s.ctx, max(s.failed, 1), 0); err != nil {
		return s.fail(err)
	}
	from := ""
	if s.validator != "" && s.at > 0 {
		from = "bytes=" + strconv.FormatInt(s.at, 10) + "-"
	}
	resp, err := s.ask(from)
	if err != nil {
		return err
	}
	switch {
	case from != "" && resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", s.at)):
		s.body = resp.Body
		return nil
	case resp.StatusCode < 200 || resp.StatusCode > 299 || resp.StatusCode == http.StatusPartialContent:
		defer resp.Body.Close()
		return s.refused(resp)
	}
	if err := s.skip(resp.Body); err != nil {
		resp.Body.Close()
		if s.ctx.Err() == nil && broken(err) {
			s.give(err)
			return s.err
		}
		return s.fail(err)
	}
	s.body = resp.Body
	return nil
}

// skip reads what was read already, and compares it with that.
func (s *streamed) skip(body io.Reader) error {
	h := sha256.New()
	if _, err := io.CopyN(h, body, s.at); err != nil && err != io.EOF {
		return err
	}
	if !bytes.Equal(h.Sum(nil), s.sum.Sum(nil)) {
		return errChanged{}
	}
	return nil
}

// errChanged is a file that is another one when it is asked for again.
type errChanged struct{}

func (errChanged) Error() string {
	return "it broke off, and when it was asked for again it was another file"
}

// ExitCode is EX_TEMPFAIL.
func (errChanged) ExitCode() int { return 75 }

// Hint says what to do.
func (errChanged) Hint() string { return "try again once nobody writes to it" }
