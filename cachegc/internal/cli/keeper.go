package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/cachegc/internal/inventory"
	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/command"
)

// keeper keeps the state of a cache from run to run: in the cache, or in a directory.
type keeper struct {
	where string
	place place.Place
	old   v1.Hash // what the state in the cache is now
}

// Bounds of what is read whole, in bytes.
const (
	maxStateManifest = 64 << 10
	maxState         = 256 << 20
)

// stateType is the media type of a state.
const stateType types.MediaType = "application/vnd.kaniko.cache.gc-state.v1+gzip"

// load is the state of the last run, or one of nothing.
func (k *keeper) load(ctx context.Context) (*inventory.State, error) {
	var packed []byte
	var err error
	switch k.where {
	case stateNowhere:
		return inventory.NewState(), nil
	case stateInCache:
		packed, err = k.pull(ctx)
	default:
		packed, err = readBounded(k.file(), maxState)
	}
	if place.Missing(err) || errors.Is(err, fs.ErrNotExist) {
		return inventory.NewState(), nil
	}
	if err != nil {
		return nil, err
	}
	return inventory.ReadState(packed, k.place.String())
}

// file is where the state is, in a directory.
func (k *keeper) file() string {
	return filepath.Join(k.where, fmt.Sprintf("%x.state", sha256.Sum256([]byte(k.place.String()))))
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return raw, err
}

func (k *keeper) pull(ctx context.Context) ([]byte, error) {
	m, err := k.place.Manifest(ctx, inventory.StateTag, maxStateManifest)
	if err != nil {
		return nil, err
	}
	k.old = m.Digest
	var said v1.Manifest
	if err := json.Unmarshal(m.Raw, &said); err != nil {
		return nil, err
	}
	if len(said.Layers) != 1 || said.Layers[0].MediaType != stateType {
		return nil, fmt.Errorf("the tag %s is not of a state", inventory.StateTag)
	}
	return k.place.Blob(ctx, said.Layers[0].Digest, maxState)
}

// save keeps a state, if there is anything new in it.
func (k *keeper) save(ctx context.Context, s *inventory.State) error {
	if k.where == stateNowhere || !s.Changed() {
		return nil
	}
	packed, err := s.Encode(k.place.String())
	if err != nil {
		return err
	}
	if k.where == stateInCache {
		return k.push(ctx, packed)
	}
	if err := os.MkdirAll(k.where, 0o777); err != nil {
		return err
	}
	return writeFile(k.file(), func(w io.Writer) error { _, err := w.Write(packed); return err })
}

func (k *keeper) push(ctx context.Context, packed []byte) error {
	empty := []byte("{}")
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: map[string]string{
		cache.AnnotationKind: inventory.StateTag,
		cache.AnnotationTool: "cachegc " + command.Release,
		cache.AnnotationSize: strconv.Itoa(len(empty) + len(packed)),
	}}
	var err error
	if m.Config, err = describe(empty, types.OCIEmptyJSON); err != nil {
		return err
	}
	layer, err := describe(packed, stateType)
	if err != nil {
		return err
	}
	m.Layers = []v1.Descriptor{layer}
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := k.place.Put(ctx, inventory.StateTag, raw, m.MediaType, empty, packed); err != nil {
		return err
	}
	if now, err := k.place.Current(ctx, inventory.StateTag); err != nil || now == k.old || k.old == (v1.Hash{}) {
		return err
	}
	// Nothing has the old one's name any more. Where it cannot be deleted it is one more
	// of what registries collect.
	_ = k.place.Delete(ctx, kind.Victim{Digest: k.old})
	return nil
}

func describe(raw []byte, mt types.MediaType) (v1.Descriptor, error) {
	l := static.NewLayer(raw, mt)
	digest, err := l.Digest()
	return v1.Descriptor{MediaType: mt, Digest: digest, Size: int64(len(raw))}, err
}

// OutputError is a file that cannot be written.
type OutputError struct {
	Path string
	Err  error
}

func (e *OutputError) Error() string { return fmt.Sprintf("write %s: %v", e.Path, e.Err) }
func (e *OutputError) Unwrap() error { return e.Err }

// writeFile writes a file that appears when it is complete.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return &OutputError{path, err}
	}
	err = write(f)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return &OutputError{path, errors.Join(err, os.Remove(f.Name()))}
	}
	return nil
}
