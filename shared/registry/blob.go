package registry

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// forgiven is how many bytes have to come through after a break for the count of
// breaks in a row to start again.
const forgiven = 1 << 20

type blobKey struct {
	repo   string
	digest v1.Hash
}

// blob reads a blob from an offset on, across broken connections, from the first of
// its sources that has it. The first answer is there when it returns.
func (c *Client) blob(ctx context.Context, repo name.Repository, sources []name.Repository, d v1.Descriptor, off int64) (*blobReader, error) {
	b := &blobReader{ctx: ctx, client: c, repo: repo, sources: sources, retry: c.retry(pull), desc: d, off: off}
	if off >= d.Size {
		return b, nil
	}
	for {
		err := b.open()
		if err == nil {
			return b, nil
		}
		if !b.again(err) {
			return nil, err
		}
	}
}

// lose notes that a repository has not got a blob that it was said to have: it is
// asked again.
func (c *Client) lose(repo name.Repository, h v1.Hash) {
	k := blobKey{repo.Name(), h}
	c.lost.put(k, struct{}{})
	c.blobs.forget(k)
}

// Distrust notes that a blob of a repository is not what it should be: who pushes it
// there sends it, without asking whether it is there. Not every registry lets a blob
// be replaced.
func (c *Client) Distrust(repo name.Repository, h v1.Hash) {
	c.lose(repo, h)
	c.spoilt.put(blobKey{repo.Name(), h}, struct{}{})
}

// blobReader follows a blob through as many requests as it takes.
type blobReader struct {
	ctx     context.Context
	client  *Client
	repo    name.Repository // where it is said to be
	sources []name.Repository
	at      int // of the sources
	failed  mirrorsError
	session *session // with that source
	retry   Retry
	desc    v1.Descriptor
	off     int64 // bytes read
	anew    int   // how often it was begun anew

	body   io.ReadCloser   // nil between two requests
	asked  context.Context // the request's
	cancel context.CancelCauseFunc
	silent *time.Timer

	breaks int   // in a row
	mark   int64 // off after the last of them
}

// open asks for what has not been read, and moves on to the next source where one
// fails for good.
func (b *blobReader) open() error {
	for {
		err := b.client.passedOver(b.sources, b.at)
		if err == nil {
			err = b.begin()
		}
		if err == nil || !b.next(err) {
			return b.final(err)
		}
	}
}

// next moves on to the next source, if there is one, after err.
func (b *blobReader) next(err error) bool {
	if only(b.repo, b.sources) || b.ctx.Err() != nil {
		return false
	}
	b.failed.add(b.client, b.sources[b.at], err)
	b.client.passOver(b.sources, b.at, &b.failed)
	if b.at == len(b.sources)-1 {
		return false
	}
	b.at++
	b.breaks, b.mark = 0, b.off
	return true
}

// final is the error that is left when no source is.
func (b *blobReader) final(err error) error {
	if err == nil || len(b.failed.tried) == 0 {
		return err
	}
	return &mirrorsError{b.failed.tried}
}

// begin is one attempt of open.
func (b *blobReader) begin() error {
	ctx, cancel := context.WithCancelCause(b.client.hurried(b.ctx, b.sources, b.at))
	var err error
	if b.session, err = b.client.session(ctx, pull, b.sources[b.at]); err != nil {
		cancel(nil)
		return err
	}
	resp, err := b.ask(ctx)
	if err != nil {
		cancel(nil)
		return err
	}
	skip := int64(0)
	length := b.desc.Size - b.off
	if resp.StatusCode == http.StatusOK {
		skip, length = b.off, b.desc.Size // it does not know ranges
	} else if from, ok := rangeStart(resp.Header.Get("Content-Range")); !ok || from != b.off {
		resp.Body.Close()
		cancel(nil)
		return fmt.Errorf("%s: asked for bytes from %d on, got %q", address(resp.Request), b.off, resp.Header.Get("Content-Range"))
	}
	if resp.ContentLength >= 0 && resp.ContentLength != length {
		resp.Body.Close()
		cancel(nil)
		return &CorruptError{Want: b.desc.Digest, WantSize: b.desc.Size, GotSize: b.desc.Size - length + resp.ContentLength}
	}
	stall := b.retry.Stall
	b.body, b.asked, b.cancel = resp.Body, ctx, cancel
	b.silent = time.AfterFunc(stall, func() { cancel(silenceError{stall}) })
	b.silent.Stop()
	for skip > 0 {
		n, err := b.listen(make([]byte, min(skip, 64<<10)))
		skip -= int64(n)
		if err != nil && skip > 0 {
			b.shut()
			return err
		}
	}
	return nil
}

// listen reads what the registry sends, as long as it does not fall silent.
func (b *blobReader) listen(p []byte) (int, error) {
	b.silent.Reset(b.retry.Stall)
	n, err := b.body.Read(p)
	b.silent.Stop()
	if silence, ok := context.Cause(b.asked).(silenceError); ok && err != nil {
		err = silence
	}
	return n, err
}

// ask requests the blob from where we are, from the registry or, if that has
// not got it, from where else the manifest says it is.
func (b *blobReader) ask(ctx context.Context) (*http.Response, error) {
	req, err := b.session.request(ctx, http.MethodGet, "blobs/"+b.desc.Digest.String())
	if err != nil {
		return nil, err
	}
	b.ranged(req)
	resp, err := b.session.http.Do(req)
	if err != nil {
		return nil, err
	}
	err = check(resp, http.StatusOK, http.StatusPartialContent)
	if err == nil {
		return resp, nil
	}
	if errors.Is(err, ErrNotFound) {
		b.client.lose(b.session.repo, b.desc.Digest)
	}
	for _, u := range b.desc.URLs {
		resp, elsewhere := b.askElsewhere(ctx, u)
		if elsewhere == nil {
			return resp, nil
		}
		err = elsewhere
	}
	return nil, err
}

// askElsewhere asks an address that a manifest gives for a foreign layer. It
// gets no credentials.
func (b *blobReader) askElsewhere(ctx context.Context, address string) (*http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && b.session.repo.Scheme() == "http") {
		return nil, fmt.Errorf("a layer is kept at %s://%s, which is not HTTPS", u.Scheme, u.Host)
	}
	if err := checkHost(b.session.repo.RegistryStr(), u.Hostname()); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	b.ranged(req)
	client := &http.Client{Transport: b.client.verified, CheckRedirect: checkRedirect}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	return resp, check(resp, http.StatusOK, http.StatusPartialContent)
}

func (b *blobReader) ranged(req *http.Request) {
	if b.off > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.off, b.desc.Size-1))
	}
}

func rangeStart(s string) (int64, bool) {
	var from, to int64
	n, _ := fmt.Sscanf(s, "bytes %d-%d", &from, &to)
	return from, n == 2
}

func (b *blobReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if b.off == b.desc.Size && b.body == nil {
			return 0, io.EOF
		}
		if b.body == nil {
			if err := b.open(); err != nil {
				if broken(err) && only(b.repo, b.sources) {
					err = b.broke(err)
				}
				if err != nil && !b.again(err) {
					return 0, err
				}
				continue
			}
		}
		n, err := b.listen(p)
		if over := b.off + int64(n) - b.desc.Size; over > 0 {
			b.shut()
			return 0, &CorruptError{Want: b.desc.Digest, WantSize: b.desc.Size, GotSize: b.desc.Size + 1}
		}
		b.off += int64(n)
		if err == nil {
			if n == 0 {
				continue
			}
			return n, nil
		}
		b.shut()
		if b.off == b.desc.Size {
			if n > 0 {
				return n, nil
			}
			return 0, io.EOF
		}
		if err := b.broke(err); err != nil && !b.next(err) && !b.again(err) {
			return n, b.final(err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// again has the blob asked for anew by all its sources, as often as the user said.
func (b *blobReader) again(err error) bool {
	if b.ctx.Err() != nil || b.anew >= b.client.cfg.Options.LayerRetries.or(1)-1 {
		return false
	}
	b.anew++
	b.at, b.failed, b.breaks, b.mark = 0, mirrorsError{}, 0, b.off
	return b.retry.pause(b.ctx, b.anew, 0) == nil
}

// broke decides whether to go on after err, and waits until it is time to.
func (b *blobReader) broke(err error) error {
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if b.off-b.mark >= forgiven {
		b.breaks = 0
	}
	b.breaks++
	b.mark = b.off
	if b.breaks >= b.retry.Tries {
		return fmt.Errorf("the connection broke %d times, the last time after %d of %d bytes: %w", b.breaks, b.off, b.desc.Size, err)
	}
	return b.retry.pause(b.ctx, b.breaks, 0)
}

func (b *blobReader) shut() {
	if b.body == nil {
		return
	}
	b.silent.Stop()
	b.body.Close()
	b.cancel(nil)
	b.body = nil
}

func (b *blobReader) Close() error {
	b.shut()
	return nil
}

// verify checks digest and size of what is read through it, at the end of it.
func verify(r io.ReadCloser, d v1.Descriptor) io.ReadCloser {
	h, err := v1.Hasher(d.Digest.Algorithm)
	return &verified{r: r, hash: h, err: err, desc: d}
}

type verified struct {
	r    io.ReadCloser
	hash hash.Hash
	desc v1.Descriptor
	n    int64
	err  error
}

func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.n += int64(n)
	if err == io.EOF {
		got := v1.Hash{Algorithm: v.desc.Digest.Algorithm, Hex: fmt.Sprintf("%x", v.hash.Sum(nil))}
		if v.n != v.desc.Size || got != v.desc.Digest {
			err = &CorruptError{Want: v.desc.Digest, Got: got, WantSize: v.desc.Size, GotSize: v.n}
		}
	}
	v.err = err
	return n, err
}

func (v *verified) Close() error { return v.r.Close() }
