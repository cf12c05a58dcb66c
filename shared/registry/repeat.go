package registry

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// repeat attempts an upload until it works, or fails for good, or often enough.
func (c *Client) repeat(ctx context.Context, attempt func(again bool) error) error {
	retry := c.retry(push).under(ctx)
	for failed := 0; ; {
		err := attempt(failed > 0)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx) // whatever went wrong, it was because of that
		}
		failed++
		if failed >= retry.Tries || !worthwhile(err) {
			return err
		}
		var s *statusError
		asked := retry.Wait
		if errors.As(err, &s) {
			asked = max(asked, s.after)
			if retry.refuses(s.after) {
				return err
			}
		}
		if err := retry.pause(ctx, failed, asked); err != nil {
			return err
		}
	}
}

// worthwhile tells whether an upload that ended in err may end better.
func worthwhile(err error) bool {
	var own *sourceError
	var s *statusError
	switch {
	case errors.As(err, &own), err == errFinished:
		return false
	case errors.As(err, &s):
		// The last two are what is said of an upload whose middle was lost.
		return passing(s.status) || misplaced(err) || s.has(transport.BlobUploadUnknownErrorCode) ||
			s.has(transport.BlobUploadInvalidErrorCode) || s.has(transport.DigestInvalidErrorCode)
	}
	return broken(err) || refused(err) || errors.Is(err, errSpent) || errors.Is(err, errUnread)
}
