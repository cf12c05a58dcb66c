package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	// objectCache is how many bytes of objects are kept for the deltas made from
	// them, and largeObject the size from which a file is read piece by piece.
	objectCache = 32 << 20
	largeObject = 1 << 20
)

// store is a module's repository on disk.
func (f *fetcher) store(m module) *filesystem.Storage {
	fs := osfs.New(filepath.Join(f.root, filepath.FromSlash(m.gitDir)), osfs.WithBoundOS())
	return filesystem.NewStorageWithOptions(fs, cache.NewObjectLRU(objectCache),
		filesystem.Options{ExclusiveAccess: true, KeepDescriptors: true, LargeObjectThreshold: largeObject})
}

// download fetches what a module needs into its store.
func (f *fetcher) download(ctx context.Context, m module, s *filesystem.Storage) (w wanted, err error) {
	fail := func(attempt string, err error) error {
		if known(err) {
			return err
		}
		return &Error{Repository: m.at.String(), Attempt: attempt, Err: cause(err)}
	}
	session, err := f.open(ctx, m)
	if err != nil {
		return wanted{}, fail("connect to the host", err)
	}
	defer session.Close()
	adv, err := session.advertised(ctx)
	if err != nil && strings.Contains(err.Error(), "object-format=sha256") {
		err = errSHA256
	}
	if err != nil {
		return wanted{}, fail("list the references", err)
	}
	if w, err = resolve(adv, m); err != nil {
		return wanted{}, err
	}
	if err := s.Init(); err != nil {
		return wanted{}, fail("keep a copy", err)
	}
	attempt := "fetch " + m.spoken()
	req := request(adv, w, f.depth)
	resp, err := session.pack(ctx, req)
	if err != nil && w.exact && strings.Contains(err.Error(), "not our ref") {
		return wanted{}, &RefError{Repository: m.at.String(), Ref: w.hash.String()}
	}
	if err != nil {
		return wanted{}, fail(attempt, err)
	}
	defer resp.Close()
	if len(resp.Shallows) > 0 {
		if err := s.SetShallow(resp.Shallows); err != nil {
			return wanted{}, fail(attempt, err)
		}
	}
	if err := packfile.UpdateObjectStorage(s, content(req, resp)); err != nil {
		return wanted{}, fail(attempt, err)
	}
	return w, nil
}

// errSHA256 says that a repository names its objects in a way that is still new.
var errSHA256 = errors.New("it names its objects by SHA-256, and only SHA-1 is known here")

// spoken is how a module's reference is called in messages.
func (m module) spoken() string {
	if m.ref == "" {
		return "HEAD"
	}
	return m.ref
}

// request asks for one commit with as much history as is wanted, or where the
// server cannot be asked for that, for all that it has.
func request(adv *packp.AdvRefs, w wanted, depth int) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	if w.exact && !direct(adv) {
		for _, hash := range adv.References {
			if !slices.Contains(req.Wants, hash) {
				req.Wants = append(req.Wants, hash)
			}
		}
		return req
	}
	req.Wants = []plumbing.Hash{w.hash}
	if depth > 0 && adv.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(depth)
		req.Capabilities.Set(capability.Shallow)
	}
	return req
}

// content takes the pack out of an answer that may have messages between.
func content(req *packp.UploadPackRequest, resp io.Reader) io.Reader {
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, resp)
	case req.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, resp)
	}
	return resp
}

// peel finds the commit that an object is, or that it is a tag of.
func peel(s *filesystem.Storage, hash plumbing.Hash) (*object.Commit, error) {
	const maxTags = 16 // of tags
	for range maxTags {
		o, err := object.GetObject(s, hash)
		if err != nil {
			return nil, err
		}
		switch o := o.(type) {
		case *object.Commit:
			return o, nil
		case *object.Tag:
			hash = o.Target
		default:
			return nil, fmt.Errorf("%s is a %s and no commit", hash, o.Type())
		}
	}
	return nil, errors.New("a tag of a tag of a tag without end")
}

// known tells whether an error says itself what was attempted.
func known(err error) bool {
	var (
		whole *Error
		ref   *RefError
		sum   *ChecksumError
		src   *SourceError
	)
	return errors.As(err, &whole) || errors.As(err, &ref) || errors.As(err, &sum) || errors.As(err, &src)
}

// cause is an error without what the libraries say before it: the address, again.
func cause(err error) error {
	for {
		var (
			u          *url.Error
			unexpected *plumbing.UnexpectedError
			permanent  *plumbing.PermanentError
		)
		switch {
		case errors.As(err, &u):
			err = u.Err
		case errors.As(err, &unexpected):
			err = unexpected.Err
		case errors.As(err, &permanent):
			err = permanent.Err
		default:
			return err
		}
	}
}

// sameHost tells whether what one repository's server is told may be told another's.
func sameHost(a, b address) bool {
	return a.scheme == b.scheme && strings.EqualFold(a.host, b.host)
}
