package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/stream"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// early is how much of a layer that is still being written is held back, in
// bytes: one that ends before is asked for first, and often there already.
const early = 1 << 20

// questions is how many layers of an image are asked about at the same time.
const questions = 16

// courtesy is how long an upload that is given up may take to end.
const courtesy = 10 * time.Second

type streamKey struct {
	repo  string
	layer v1.Layer
}

// CheckPush tells whether pushing to a repository is allowed, by beginning an
// upload and giving it up. It asks once for each repository.
func (c *Client) CheckPush(ctx context.Context, repo name.Repository) error {
	_, err := c.checks.get(ctx, sessionKey{role: push, repo: repo.Name()}, func(ctx context.Context) (struct{}, error) {
		s, err := c.session(ctx, push, repo)
		if err != nil {
			return struct{}{}, err
		}
		at, _, err := s.begin(ctx, nil)
		if err != nil {
			return struct{}{}, err
		}
		go s.giveUp(context.WithoutCancel(ctx), at)
		return struct{}{}, nil
	})
	return c.failed("check whether "+repo.Name()+" may be pushed to", push, repo, err)
}

// giveUp tells the registry that an upload will not go on. That is a courtesy, which
// nobody waits for: registries forget uploads by themselves sooner or later.
func (s *session) giveUp(ctx context.Context, at string) {
	ctx, stop := context.WithTimeout(ctx, courtesy)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, at, nil)
	if err != nil {
		return
	}
	if resp, err := s.http.Do(req); err == nil {
		resp.Body.Close()
	}
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
		if _, wrong := c.spoilt.peek(blobKey{repo.Name(), h}); wrong {
			found = false
		} else {
			if there, err := s.has(ctx, h); err != nil || there {
				return struct{}{}, err
			}
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
	release, err := c.slot(ctx, size)
	if err != nil {
		return err
	}
	defer release()
	ctx, moved, done := c.cfg.Observe(ctx, "push", s.repo.Name()+"@"+h.String(), size)
	u := &upload{client: c, session: s, layer: l, tally: &tally{moved: moved}, size: size, at: begun}
	err = c.repeat(ctx, func(again bool) error {
		if again {
			// The answer, rather than the upload, may have been what broke.
			if there, err := s.has(ctx, h); err != nil || there {
				return err
			}
		}
		_, err := u.run(ctx)
		return err
	})
	done(err)
	return err
}

// pushUnfinished pushes a layer that is still being written and returns its digest.
func (c *Client) pushUnfinished(ctx context.Context, repo name.Repository, l v1.Layer) (v1.Hash, error) {
	src, err := open(ctx, l, &tally{}, 0)
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
	release, err := c.slot(ctx, unknown)
	if err != nil {
		src.Close()
		return v1.Hash{}, err
	}
	observed, moved, done := c.cfg.Observe(ctx, "push", repo.Name(), -1)
	src.tally, src.head, src.off = &tally{moved: moved}, head[:n], 0
	u := &upload{client: c, session: s, layer: l, tally: src.tally, size: unknown, src: src}
	var digest v1.Hash
	err = c.repeat(observed, func(again bool) error {
		if h, err := l.Digest(); again && err == nil {
			if there, err := s.has(observed, h); err != nil || there {
				digest = h
				return err
			}
			if !u.resume(observed) {
				return errFinished
			}
			if u.size, err = l.Size(); err != nil {
				return &sourceError{err}
			}
		}
		digest, err = u.run(observed)
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

// What a blob that is sent takes of what may be under way at the same time.
const (
	smallShare = 1
	largeShare = 4
	small      = 4 << 20 // bytes that a small blob has at most
)

// slot waits until a blob of so many bytes may be sent; a size that is not known is
// below 0.
func (c *Client) slot(ctx context.Context, size int64) (release func(), _ error) {
	share := int64(largeShare)
	if 0 <= size && size <= small {
		share = smallShare
	}
	if err := c.uploads.Acquire(ctx, share); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { c.uploads.Release(share) }, nil
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
	at, _, err := s.begin(ctx, url.Values{"mount": {h.String()}, "from": {from.RepositoryStr()}})
	return at, err == nil && at == ""
}
