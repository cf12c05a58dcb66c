package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// fetch gets something small of a repository, whole: at most limit bytes, in one
// request unless the connection breaks or the registry falls silent amid the
// answer.
func (c *Client) fetch(ctx context.Context, repo name.Repository, path, accept string, limit int64) ([]byte, http.Header, error) {
	s, err := c.session(ctx, pull, repo)
	if err != nil {
		return nil, nil, err
	}
	retry := c.retry(pull).under(ctx)
	for failed := 0; ; {
		raw, header, err := s.whole(ctx, path, accept, limit, retry.Stall)
		if err == nil || header == nil || !broken(err) || ctx.Err() != nil {
			return raw, header, err
		}
		if failed++; failed >= retry.Tries {
			return nil, nil, err
		}
		if err := retry.pause(ctx, failed, 0); err != nil {
			return nil, nil, err
		}
	}
}

// whole is one attempt of fetch. There is a header if there was an answer.
func (s *session) whole(ctx context.Context, path, accept string, limit int64, stall time.Duration) ([]byte, http.Header, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := s.request(ctx, http.MethodGet, path)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", accept)
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	if err := check(resp, http.StatusOK); err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	silent := time.AfterFunc(stall, func() { cancel(silenceError{stall}) })
	defer silent.Stop()
	raw, err := readAll(&lively{r: resp.Body, silent: silent, stall: stall}, limit)
	if silence, ok := context.Cause(ctx).(silenceError); ok && err != nil {
		err = silence
	}
	return raw, resp.Header, err
}

// lively puts off the end of a request as long as something comes.
type lively struct {
	r      io.Reader
	silent *time.Timer
	stall  time.Duration
}

func (l *lively) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n > 0 {
		l.silent.Reset(l.stall)
	}
	return n, err
}

// readAll reads no more than limit bytes, and fails if there are more.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return b, nil
}
