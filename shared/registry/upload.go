package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// unknown is the size of a layer that is still being written.
const unknown = -1

// upload is a blob on its way into a repository, through as many requests and
// connections as it takes.
type upload struct {
	client  *Client
	session *session
	layer   v1.Layer
	tally   *tally
	size    int64   // in bytes, or unknown
	src     *source // open where the registry is, or nil

	at     string // where it goes on; empty if it has not been begun
	least  int64  // bytes that a piece has to have
	off    int64  // bytes that the registry has
	lost   bool   // at and off may be others by now
	asking int64  // bytes of the request under way, or unknown
}

// run brings the blob to the registry, from wherever it is, and returns its digest. A
// proxy that takes less at once gets less at once.
func (u *upload) run(ctx context.Context) (v1.Hash, error) {
	for {
		h, err := u.attempt(ctx)
		if err == nil {
			return h, nil
		}
		u.drop()
		u.lost = true
		if misplaced(err) {
			u.at = "" // what it said of what it has is not so
		}
		if !u.shrink(err) {
			return h, err
		}
	}
}

// drop lets go of the source, whose place is not known after a failure.
func (u *upload) drop() {
	if u.src != nil {
		u.src.Close()
		u.src = nil
	}
}

// shrink has smaller pieces sent if that is what err is about.
func (u *upload) shrink(err error) bool {
	var s *statusError
	if !errors.As(err, &s) || s.status != http.StatusRequestEntityTooLarge {
		return false
	}
	return u.client.chunks.shrink(u.host(), u.asking)
}

// misplaced tells whether a piece was refused for being another than the next.
func misplaced(err error) bool {
	var s *statusError
	return errors.As(err, &s) && s.status == http.StatusRequestedRangeNotSatisfiable
}

func (u *upload) host() string { return u.session.repo.RegistryStr() }

func (u *upload) attempt(ctx context.Context) (v1.Hash, error) {
	if err := u.locate(ctx); err != nil {
		return v1.Hash{}, err
	}
	if u.src == nil {
		var err error
		if u.src, err = open(ctx, u.layer, u.tally, u.off); err != nil {
			return v1.Hash{}, err
		}
	}
	if u.size >= 0 && u.off == 0 && (u.piece() == 0 || u.size <= u.piece()) {
		return u.whole(ctx)
	}
	for {
		more, err := u.more()
		if err != nil {
			return v1.Hash{}, err
		}
		if !more {
			return u.finish(ctx)
		}
		if err := u.patch(ctx); err != nil {
			return v1.Hash{}, err
		}
	}
}

// locate finds out where the upload goes on, and begins it if it does nowhere.
func (u *upload) locate(ctx context.Context) error {
	if u.at != "" && u.lost && !u.resume(ctx) {
		u.at = ""
	}
	if u.at == "" {
		var err error
		if u.at, u.least, err = u.session.begin(ctx, nil); err != nil {
			return err
		}
		if u.off > 0 {
			u.drop() // it is where the upload before this one was
		}
		u.off = 0
	}
	u.lost = false
	return nil
}

// resume asks what has arrived of an upload that broke. It is false if that is nothing,
// or the registry does not say: the upload is better begun anew then.
func (u *upload) resume(ctx context.Context) bool {
	if u.at == "" {
		return false
	}
	if !u.lost {
		return true // it has been asked already
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.at, nil)
	if err != nil {
		return false
	}
	resp, err := u.session.http.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if check(resp, http.StatusNoContent, http.StatusAccepted, http.StatusOK) != nil {
		return false
	}
	have, ok := arrived(resp)
	if !ok || have == 0 || have > u.tally.sent() {
		return false
	}
	if resp.Header.Get("Location") != "" {
		if u.at, err = next(resp); err != nil {
			return false
		}
	}
	u.off, u.lost = have, false
	return true
}

// arrived is how many bytes of an upload a registry says that it has.
func arrived(resp *http.Response) (int64, bool) {
	_, last, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(last, 10, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	if n == 0 {
		return 0, true // 0-0 is one byte, and what Docker's registry says of none
	}
	return n + 1, true
}

// piece is how many bytes are sent in one request; 0 is all.
func (u *upload) piece() int64 {
	n := u.client.chunks.of(u.host(), int64(u.client.cfg.Options.ChunkSize))
	if n == 0 {
		return 0
	}
	return max(n, u.least)
}

// more tells whether there is more to send. Of a layer that is still being written only
// its end tells.
func (u *upload) more() (bool, error) {
	if u.size >= 0 {
		return u.off < u.size, nil
	}
	more, err := u.src.more()
	if err != nil {
		return false, u.src.cause(err)
	}
	return more, nil
}

// begin begins an upload and returns where it goes on, which is nowhere if a
// mount was asked for and granted. least is how many bytes a piece has to have that is
// not the last; 0 is any.
func (s *session) begin(ctx context.Context, query url.Values) (at string, least int64, _ error) {
	req, err := s.request(ctx, http.MethodPost, "blobs/uploads/")
	if err != nil {
		return "", 0, err
	}
	req.URL.RawQuery = query.Encode()
	resp, err := s.http.Do(req)
	if err != nil {
		return "", 0, err
	}
	want := []int{http.StatusAccepted}
	if query.Has("mount") {
		want = append(want, http.StatusCreated)
	}
	if err := check(resp, want...); err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusCreated {
		return "", 0, nil
	}
	least, _ = strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64) // of OCI's specification 1.1
	at, err = next(resp)
	return at, least, err
}

// next is where an upload goes on after resp.
func next(resp *http.Response) (string, error) {
	at, err := resp.Location()
	if err != nil {
		return "", fmt.Errorf("%s: the answer does not say where to go on: %w", address(resp.Request), err)
	}
	if err := checkHost(resp.Request.URL.Hostname(), at.Hostname()); err != nil {
		return "", err
	}
	return at.String(), nil
}

// whole sends all of a blob of known digest, in one request.
func (u *upload) whole(ctx context.Context) (v1.Hash, error) {
	h, err := u.digest()
	if err != nil {
		return h, err
	}
	req, err := ending(ctx, u.at, h)
	if err != nil {
		return h, err
	}
	if u.size > 0 {
		req.Body, req.ContentLength = u.src.piece(u.size), u.size
	}
	u.asking = u.size
	resp, err := u.session.http.Do(req)
	if err == nil {
		err = check(resp, http.StatusCreated, http.StatusNoContent)
	}
	if err != nil {
		return h, u.src.cause(err)
	}
	u.drop()
	return h, resp.Body.Close()
}

// patch sends the next piece.
func (u *upload) patch(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, u.at, nil)
	if err != nil {
		return err
	}
	limit := u.piece()
	u.asking = limit
	if limit == 0 {
		u.asking = unknown
	}
	body := u.src.piece(limit)
	req.ContentLength = -1
	if u.size >= 0 {
		n := u.size - u.off
		if limit > 0 {
			n = min(n, limit)
		}
		body = u.src.piece(n)
		req.ContentLength, u.asking = n, n
		req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", u.off, u.off+n-1))
	}
	req.Body = body
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := u.session.http.Do(req)
	if err == nil {
		err = check(resp, http.StatusAccepted, http.StatusNoContent, http.StatusCreated)
	}
	if err != nil {
		return u.src.cause(err)
	}
	resp.Body.Close()
	if !body.spent() {
		return errUnread
	}
	if u.at, err = next(resp); err != nil {
		return err
	}
	u.off = u.src.offset()
	if have, ok := arrived(resp); ok && have > 0 && have < u.off {
		return errUnread
	}
	if told, size := u.client.chunks.tell(u.host()); !told {
		u.client.cfg.Warn(fmt.Sprintf("%s, or a proxy in front of it, takes no larger uploads: layers go there in pieces of %s", u.host(), sized(size)))
	}
	return nil
}

// errUnread is a registry that says yes before it has read what it says yes to.
var errUnread = errors.New("the registry took only a part of what it was sent")

// finish ends an upload of which all has been sent.
func (u *upload) finish(ctx context.Context) (v1.Hash, error) {
	u.drop()
	h, err := u.digest()
	if err != nil {
		return h, err
	}
	req, err := ending(ctx, u.at, h)
	if err != nil {
		return h, err
	}
	u.asking = 0
	resp, err := u.session.http.Do(req)
	if err != nil {
		return h, err
	}
	if err := check(resp, http.StatusCreated, http.StatusNoContent); err != nil {
		return h, err
	}
	return h, resp.Body.Close()
}

func (u *upload) digest() (v1.Hash, error) {
	h, err := u.layer.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("layer was read to its end: %w", err)
	}
	return h, nil
}

// ending is the request that ends an upload and names its digest.
func ending(ctx context.Context, at string, h v1.Hash) (*http.Request, error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	q.Set("digest", h.String())
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	return req, nil
}
