package keychain

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
)

// held are the credentials of an entry. If the file changes during a build they are
// those it has then; if it goes away, or is half-written, those it had.
type held struct {
	source string
	path   string // empty if it is no file
	find   func() *authn.AuthConfig

	mu   sync.Mutex
	seen fs.FileInfo
	auth authn.AuthConfig
}

func (d *Docker) hold(path, key string, auth authn.AuthConfig, r authn.Resource) *held {
	h := &held{source: fmt.Sprintf("%s (entry %s)", path, key), auth: auth}
	h.find = func() *authn.AuthConfig {
		now, c, err := d.read()
		if err != nil || c == nil || now != path {
			return nil
		}
		a, _, _ := c.find(path, r) // nil with an error
		return a
	}
	if seen, err := os.Stat(path); err == nil {
		h.path, h.seen = path, seen
	}
	return h
}

// Source is where the credentials came from.
func (h *held) Source() string { return h.source }

// Authorization is what the entry holds.
func (h *held) Authorization() (*authn.AuthConfig, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.path != "" {
		now, err := os.Stat(h.path)
		if err == nil && !(os.SameFile(now, h.seen) && now.ModTime().Equal(h.seen.ModTime()) && now.Size() == h.seen.Size()) {
			if a := h.find(); a != nil {
				h.seen, h.auth = now, *a
			}
		}
	}
	a := h.auth
	return &a, nil
}

// AuthorizationContext is Authorization.
func (h *held) AuthorizationContext(context.Context) (*authn.AuthConfig, error) {
	return h.Authorization()
}
