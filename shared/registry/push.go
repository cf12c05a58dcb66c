package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// early is how much of a layer that is still being written is held back, in
// bytes: one that ends before is asked for first, and often there already.
const early = 1 << 20

// questions is how many layers of an image are asked about at the same time.
const questions = 16

type streamKey struct {
	repo  string
	layer v1.Layer
}

// CheckPush tells whether pushing to a repository is allowed, by beginning an
// upload and giving it up. It asks once for each repository.
func (c *Client) CheckPush(ctx context.Context, repo name.Repository) error {
	_, err := c.checks.get(ctx, sessionKey{push, repo.Name(), ""}, func(ctx context.Context) (struct{}, error) {
		s, err := c.session(ctx, push, repo)
		if err != nil {
			return struct{}{}, err
		}
		at, err := s.begin(ctx, nil)
		if err != nil {
			return struct{}{}, err
		}
		if req, err := http.NewRequestWithContext(ctx, http.MethodDelete, at, nil); err == nil {
			// The registry forgets uploads by itself sooner or later; this is a courtesy.
			if resp, err := s.http.Do(req); err == nil {
				resp.Body.Close()
			}
		}
		return struct{}{}, nil
	})
	return c.failed("check whether "+repo.Name()+" may be pushed to", push, repo, err)
}

// PushLayer sees to it that a repository has a layer: one that is there is left
// alone, one that is [Located] elsewhere in the registry is
// mounted, any other uploaded, once, however often it is asked for. A layer whose
// digest is not known yet is sent while it is being written; its Compressed must
// start over each time it is called, and closing what that returns must end a Read
// under way. Layers that may not be distributed are passed
// over.
func (c *Client) PushLayer(ctx context.Context, repo name.Repository, l v1.Layer) error {
	err := c.pushLayer(ctx, repo, l)
	what := "layer"
	if h, unknown := l.Digest(); unknown == nil {
		what += " " + h.String()
	}
	return c.failed(fmt.Sprintf("push %s to %s", what, repo.Name()), push, repo, err)
}

func (c *Client) pushLayer(ctx context.Context, repo name.Repository, l v1.Layer) error {
	mt, err := l.MediaType()
	if err != nil {
		return err
	}
	if !mt.IsDistributable() {
		return nil
	}
	h, err := l.Digest()
	if err == nil {
		return c.pushKnown(ctx, repo, l, h)
	}
	if !errors.Is(err, stream.ErrNotComputed) {
		return err
	}
	send := func(ctx context.Context) (v1.Hash, error) { return c.pushUnfinished(ctx, repo, l) }
	if reflect.TypeOf(l).Comparable() {
		_, err = c.streams.get(ctx, streamKey{repo.Name(), l}, send)
	} else {
		_, err = send(ctx)
	}
	return err
}

// pushKnown pushes a layer of known digest.
func (c *Client) pushKnown(ctx context.Context, repo name.Repository, l v1.Layer, h v1.Hash) error {
	_, err := c.blobs.get(ctx, blobKey{repo.Name(), h}, func(ctx context.Context) (struct{}, error) {
		from, found := c.elsewhere(repo, l, h)
		if found && from.RepositoryStr() == repo.RepositoryStr() {
			if _, gone := c.lost.peek(blobKey{repo.Name(), h}); !gone {
				return struct{}{}, nil // it was found there
			}
			found = false
		}
		s, err := c.session(ctx, push, repo)
		if err != nil {
			return struct{}{}, err
		}
		if there, err := s.has(ctx, h); err != nil || there {
			return struct{}{}, err
		}
		begun := ""
		if found {
			mounted := false
			if begun, mounted = c.mount(ctx, repo, from, h); mounted {
				return struct{}{}, nil
			}
			if ctx.Err() != nil {
				return struct{}{}, context.Cause(ctx)
			}
		}
		return struct{}{}, c.send(ctx, s, l, h, begun)
	})
	return err
}

// elsewhere finds a repository of repo's registry, possibly repo itself, that has
// a layer: the layer says so, or it went there before.
func (c *Client) elsewhere(repo name.Repository, l v1.Layer, h v1.Hash) (name.Repository, bool) {
	if at, ok := layer.As[Located](l); ok && at.Ref().Context().RegistryStr() == repo.RegistryStr() {
		return at.Ref().Context(), true
	}
	prefix := repo.RegistryStr() + "/"
	k, ok := c.blobs.find(func(k blobKey) bool { return k.digest == h && strings.HasPrefix(k.repo, prefix) })
	if !ok {
		return name.Repository{}, false
	}
	return repo.Registry.Repo(strings.TrimPrefix(k.repo, prefix)), true
}

// send uploads a layer that the repository has not got. begun is where an upload
// goes on that has been begun for it, or empty.
func (c *Client) send(ctx context.Context, s *session, l v1.Layer, h v1.Hash, begun string) error {
	size, err := l.Size()
	if err != nil {
		return err
	}
	release, err := c.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, moved, done := c.cfg.Observe(ctx, "push", s.repo.Name()+"@"+h.String(), size)
	t := &tally{moved: moved}
	err = c.repeat(ctx, func(again bool) error {
		if again {
			begun = ""
			// The answer, rather than the upload, may have been what broke.
			if there, err := s.has(ctx, h); err != nil || there {
				return err
			}
		}
		src, err := open(ctx, l, t)
		if err != nil {
			return err
		}
		return s.put(ctx, src, h, size, begun)
	})
	done(err)
	return err
}

// pushUnfinished pushes a layer that is still being written and returns its digest.
func (c *Client) pushUnfinished(ctx context.Context, repo name.Repository, l v1.Layer) (v1.Hash, error) {
	src, err := open(ctx, l, &tally{})
	if err != nil {
		return v1.Hash{}, err
	}
	head := make([]byte, early)
	n, err := io.ReadFull(src, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		src.Close()
		return c.pushFinished(ctx, repo, l)
	}
	if err != nil {
		src.Close()
		if ctx.Err() != nil {
			return v1.Hash{}, context.Cause(ctx)
		}
		return v1.Hash{}, src.cause(err)
	}
	s, err := c.session(ctx, push, repo)
	if err != nil {
		src.Close()
		return v1.Hash{}, err
	}
	release, err := c.slot(ctx)
	if err != nil {
		src.Close()
		return v1.Hash{}, err
	}
	observed, moved, done := c.cfg.Observe(ctx, "push", repo.Name(), -1)
	t := &tally{moved: moved}
	src.tally, src.head, src.off = t, head[:n], 0
	var digest v1.Hash
	err = c.repeat(observed, func(again bool) error {
		if again {
			if _, err := l.Digest(); err == nil {
				return errFinished
			}
			if src, err = open(observed, l, t); err != nil {
				return err
			}
		}
		digest, err = s.patch(observed, src, l)
		return err
	})
	release()
	if err == errFinished {
		done(nil)
		return c.pushFinished(ctx, repo, l)
	}
	done(err)
	if err == nil {
		c.blobs.put(blobKey{repo.Name(), digest}, struct{}{})
	}
	return digest, err
}

// errFinished stops the attempts to send a layer while it is written: it has
// been written meanwhile.
var errFinished = errors.New("the layer is finished")

func (c *Client) pushFinished(ctx context.Context, repo name.Repository, l v1.Layer) (v1.Hash, error) {
	h, err := l.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("layer was read to its end: %w", err)
	}
	return h, c.pushKnown(ctx, repo, l, h)
}

// slot waits until a blob may be sent.
func (c *Client) slot(ctx context.Context) (release func(), _ error) {
	select {
	case c.uploads <- struct{}{}:
		return func() { <-c.uploads }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// PushImage pushes an image under a tag: what layers and config the repository
// lacks, then the manifest. Whoever pulls the tag meanwhile gets the older image.
func (c *Client) PushImage(ctx context.Context, tag name.Reference, img v1.Image) error {
	err := c.pushImage(ctx, tag, img)
	if errors.Is(err, ErrIncomplete) {
		// Layers were found in the repository, or sent there, and are gone.
		err = c.pushImage(ctx, tag, img)
	}
	return c.failed("push "+tag.Name(), push, tag.Context(), err)
}

func (c *Client) pushImage(ctx context.Context, tag name.Reference, img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(questions)
	for _, l := range layers {
		g.Go(func() error { return c.pushLayer(gctx, tag.Context(), l) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return err
	}
	h, err := config.Digest()
	if err != nil {
		return err
	}
	if err := c.pushKnown(ctx, tag.Context(), config, h); err != nil {
		return err
	}
	return c.pushManifest(ctx, tag, img)
}

func (c *Client) pushManifest(ctx context.Context, tag name.Reference, img v1.Image) error {
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	mt, err := img.MediaType()
	if err != nil {
		return err
	}
	return c.putManifest(ctx, tag, &manifest{raw: raw, mediaType: mt, digest: digest})
}

func (c *Client) putManifest(ctx context.Context, tag name.Reference, m *manifest) error {
	s, err := c.session(ctx, push, tag.Context())
	if err != nil {
		return err
	}
	req, err := s.request(ctx, http.MethodPut, "manifests/"+tag.Identifier())
	if err != nil {
		return err
	}
	req.Body = io.NopCloser(bytes.NewReader(m.raw))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.raw)), nil }
	req.ContentLength = int64(len(m.raw))
	req.Header.Set("Content-Type", string(m.mediaType))
	resp, err := s.http.Do(req)
	if err == nil {
		err = check(resp, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	}
	if err != nil {
		if errors.Is(err, ErrIncomplete) {
			c.loseAll(tag.Context(), m)
			return err
		}
		// A tag that may not be moved need not be, if it is in its place.
		if status(err)/100 == 4 && s.tagged(ctx, tag, m.digest) {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	if said := resp.Header.Get("Docker-Content-Digest"); said != "" && said != m.digest.String() {
		return fmt.Errorf("the registry took the manifest %s for %s", m.digest, excerpt(said))
	}
	c.manifests.forget(manifestKey{tag.Context().Name(), tag.Identifier()})
	return nil
}

// loseAll has all that a manifest speaks of asked about again.
func (c *Client) loseAll(repo name.Repository, m *manifest) {
	parsed, err := v1.ParseManifest(bytes.NewReader(m.raw))
	if err != nil {
		return // then there is nothing that we pushed for it
	}
	for _, d := range append(parsed.Layers, parsed.Config) {
		c.lose(repo, d.Digest)
	}
}

// tagged tells whether a tag stands for a digest.
func (s *session) tagged(ctx context.Context, tag name.Reference, digest v1.Hash) bool {
	req, err := s.request(ctx, http.MethodHead, "manifests/"+tag.Identifier())
	if err != nil {
		return false
	}
	req.Header.Set("Accept", "*/*")
	resp, err := s.http.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && resp.Header.Get("Docker-Content-Digest") == digest.String()
}

// has asks whether the repository has a blob.
func (s *session) has(ctx context.Context, h v1.Hash) (bool, error) {
	req, err := s.request(ctx, http.MethodHead, "blobs/"+h.String())
	if err != nil {
		return false, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return false, err
	}
	if err := check(resp, http.StatusOK, http.StatusNotFound); err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK, nil
}

// mount asks the registry to take a blob over from another of its repositories.
// Any refusal is only that: the blob can still be sent, to where the refusal says
// if it says so.
func (c *Client) mount(ctx context.Context, repo, from name.Repository, h v1.Hash) (begun string, mounted bool) {
	s, err := c.mounting(ctx, repo, from)
	if err != nil {
		return "", false
	}
	at, err := s.begin(ctx, url.Values{"mount": {h.String()}, "from": {from.RepositoryStr()}})
	return at, err == nil && at == ""
}

// begin begins an upload and returns where it goes on, which is nowhere if a
// mount was asked for and granted.
func (s *session) begin(ctx context.Context, query url.Values) (string, error) {
	req, err := s.request(ctx, http.MethodPost, "blobs/uploads/")
	if err != nil {
		return "", err
	}
	req.URL.RawQuery = query.Encode()
	resp, err := s.http.Do(req)
	if err != nil {
		return "", err
	}
	want := []int{http.StatusAccepted}
	if query.Has("mount") {
		want = append(want, http.StatusCreated)
	}
	if err := check(resp, want...); err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusCreated {
		return "", nil
	}
	return next(resp)
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

// put uploads a blob of known digest, in one request after the one that begins it
// unless that was sent already.
func (s *session) put(ctx context.Context, src *source, h v1.Hash, size int64, at string) error {
	defer src.Close()
	if at == "" {
		var err error
		if at, err = s.begin(ctx, nil); err != nil {
			return err
		}
	}
	req, err := ending(ctx, at, h)
	if err != nil {
		return err
	}
	if size > 0 {
		req.Body, req.ContentLength = src, size
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return src.cause(err)
	}
	if err := check(resp, http.StatusCreated, http.StatusNoContent); err != nil {
		return src.cause(err)
	}
	return resp.Body.Close()
}

// patch uploads a layer whose digest is known only when all of it was read.
func (s *session) patch(ctx context.Context, src *source, l v1.Layer) (v1.Hash, error) {
	defer src.Close()
	at, err := s.begin(ctx, nil)
	if err != nil {
		return v1.Hash{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, at, nil)
	if err != nil {
		return v1.Hash{}, err
	}
	req.Body, req.ContentLength = src, -1
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := s.http.Do(req)
	if err != nil {
		return v1.Hash{}, src.cause(err)
	}
	if err := check(resp, http.StatusAccepted, http.StatusNoContent, http.StatusCreated); err != nil {
		return v1.Hash{}, src.cause(err)
	}
	resp.Body.Close()
	if at, err = next(resp); err != nil {
		return v1.Hash{}, err
	}
	h, err := l.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("layer was read to its end: %w", err)
	}
	req, err = ending(ctx, at, h)
	if err != nil {
		return v1.Hash{}, err
	}
	if resp, err = s.http.Do(req); err != nil {
		return v1.Hash{}, err
	}
	if err := check(resp, http.StatusCreated, http.StatusNoContent); err != nil {
		return v1.Hash{}, err
	}
	return h, resp.Body.Close()
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

// repeat attempts an upload until it works, or fails for good, or often enough.
func (c *Client) repeat(ctx context.Context, attempt func(again bool) error) error {
	retry := c.cfg.Retry.under(ctx)
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
		return passing(s.status) || s.has(transport.BlobUploadUnknownErrorCode) ||
			s.has(transport.BlobUploadInvalidErrorCode) || s.has(transport.DigestInvalidErrorCode)
	}
	return broken(err) || refused(err) || errors.Is(err, errSpent)
}

// tally counts bytes sent, each once however often it is sent.
type tally struct {
	moved func(int64)
	high  int64
}

func (t *tally) at(off int64) {
	if off > t.high {
		if t.moved != nil {
			t.moved(off - t.high)
		}
		t.high = off
	}
}

// errSpent is what becomes of a request that is sent a second time, as
// go-containerregistry does after renewing its token, when its body cannot be.
var errSpent = errors.New("the request would need the layer a second time")

// sourceError is a layer that cannot be read, for which no registry is to blame.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "read layer: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// source is a layer on its way out. It keeps what went wrong with reading it
// apart from what went wrong with sending it.
type source struct {
	r      io.ReadCloser
	tally  *tally
	unbind func() bool

	mu     sync.Mutex
	watch  *watch // of the request that has the source
	head   []byte // read already
	off    int64
	err    error
	taken  bool // by a request
	closed bool
}

// open opens a layer for sending. The end of ctx closes it: net/http waits for
// the body's reader, which may wait for a layer that nobody finishes any more.
func open(ctx context.Context, l v1.Layer, t *tally) (*source, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, &sourceError{err}
	}
	s := &source{r: r, tally: t}
	s.unbind = context.AfterFunc(ctx, func() { s.shut() })
	return s, nil
}

// take gives the source to a request; there can be but one.
func (s *source) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.taken
	s.taken = true
	return !taken
}

// watched has the watch know when the source is waited for, and when the
// registry.
func (s *source) watched(w *watch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = w
	w.listen(1)
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	closed, head, watch := s.closed, s.head, s.watch
	s.mu.Unlock()
	if closed {
		return 0, errSpent
	}
	if watch != nil {
		watch.talk()
	}
	var n int
	var err error
	if len(head) > 0 {
		n = copy(p, head)
	} else {
		n, err = s.r.Read(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(head) > 0 {
		s.head = head[n:]
	}
	s.off += int64(n)
	s.tally.at(s.off)
	if err != nil && err != io.EOF {
		if s.closed {
			return n, errSpent
		}
		s.err = err
	}
	if watch != nil && err == nil {
		watch.listen(1)
	} else if watch != nil {
		watch.listen(intake)
	}
	return n, err
}

func (s *source) Close() error {
	s.unbind()
	return s.shut()
}

func (s *source) shut() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	return s.r.Close()
}

// cause is why sending failed: reading, if that failed first, or else err.
func (s *source) cause(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return &sourceError{s.err}
	}
	return err
}
