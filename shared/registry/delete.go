package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// What is in the chain of an [Error] when the registry did not delete something.
var (
	// ErrUnsupported is a registry that does not do that, or not any more.
	ErrUnsupported = errors.New("the registry does not delete that")
	// ErrReferenced is something that others in the registry refer to: they go first.
	ErrReferenced = errors.New("something in the registry refers to it")
	// ErrLocked is something that the registry was told to keep.
	ErrLocked = errors.New("the registry was told to keep it")
)

// Delete removes a manifest by its digest, or a tag. What is not there, or goes later, is
// no error. Deleting a digest removes its tags in some registries, leaves them without
// anything in others, and is refused in a third kind as long as there are any.
//
// It asks for the right to delete, and to push where a token server knows no such right.
// The error is an [Error], with [ErrUnsupported], [ErrReferenced] or [ErrLocked] in its
// chain where the registry says so.
func (c *Client) Delete(ctx context.Context, ref name.Reference) error {
	err := c.remove(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	if err == nil {
		c.forgetManifest(ref)
	}
	return err
}

// ProbeDelete asks a registry to delete a digest that is not there: one that would delete
// one that is says so, or that it has done it, and there is no error. Errors are as of
// [Client.Delete].
func (c *Client) ProbeDelete(ctx context.Context, repo name.Repository) error {
	// Nothing is known that has this digest, and whoever found something would use it
	// for better things than a cache.
	err := c.remove(ctx, repo.Digest("sha256:"+strings.Repeat("0", 64)))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func (c *Client) remove(ctx context.Context, ref name.Reference) error {
	repo := ref.Context()
	attempt := "delete " + ref.Name()
	s, err := c.deleting(ctx, repo)
	if err != nil {
		return c.failed(attempt, push, repo, err)
	}
	req, err := s.request(ctx, http.MethodDelete, "manifests/"+ref.Identifier())
	if err != nil {
		return fail(attempt, s, err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return fail(attempt, s, err)
	}
	if err := check(resp, http.StatusAccepted, http.StatusOK, http.StatusNoContent); err != nil {
		return fail(attempt, s, err)
	}
	return resp.Body.Close()
}

// deleting is a session that may delete.
func (c *Client) deleting(ctx context.Context, repo name.Repository) (*session, error) {
	return c.sessions.get(ctx, sessionKey{role: push, repo: repo.Name(), actions: "delete"}, func(ctx context.Context) (*session, error) {
		s, err := c.open(ctx, push, repo, repo.Scope(transport.DeleteScope))
		// Quay's token server, for one, refuses whoever asks for what it does not know.
		if code := status(err); code/100 == 4 && !passing(code) {
			return c.open(ctx, push, repo, repo.Scope(transport.PushScope))
		}
		return s, err
	})
}

// forgetManifest has a reference looked up anew.
func (c *Client) forgetManifest(ref name.Reference) {
	k := manifestKey{ref.Context().Name(), ref.Identifier()}
	c.manifests.forget(k)
	c.heads.forget(k)
}

// undeleted is which of the errors of deleting an answer is; nil if none. Beside codes
// there are only words to go by, for 403 may mean any of these.
// docs/cachegc-registries.md has them by registry.
func (e *statusError) undeleted() error {
	if e.status/100 != 4 || !strings.HasPrefix(e.request, "DELETE ") {
		return nil
	}
	said := e.excerpt
	for _, d := range e.codes {
		said += " " + string(d.Code) + " " + d.Message
	}
	said = strings.ToLower(said)
	contains := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(said, w) {
				return true
			}
		}
		return false
	}
	switch {
	case contains("dangling_parent_image", "referring_manifest", "referenced by"): // Artifact Registry, Harbor, zot
		return ErrReferenced
	case contains("immutab", "operation is disallowed", "is locked", "retention"):
		return ErrLocked
	case e.status == http.StatusMethodNotAllowed && e.has(transport.DeniedErrorCode):
		return ErrReferenced // by an index, in zot
	case e.status == http.StatusMethodNotAllowed, e.has(transport.UnsupportedErrorCode):
		return ErrUnsupported
	case e.status == http.StatusBadRequest && e.has(transport.DigestInvalidErrorCode):
		return ErrUnsupported // a tag, in distribution 2
	}
	return nil
}
