package ocidir

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// RefAnnotation is what an entry of index.json has that stands for a ref: its name.
// Entries without are other tools', and are left alone.
const RefAnnotation = "io.kaniko.ref"

// maxIndex bounds index.json and the manifests it leads to, in bytes.
const maxIndex = 64 << 20

// WriteIndex writes index.json anew: what other tools have put there, and the
// manifests of all refs that have one. Lookups here do not read it, so that it may be
// late; it should be written after refs have changed.
func (d *Dir) WriteIndex(ctx context.Context) error {
	release, err := d.lock(ctx, indexLock, true)
	if err != nil {
		return err
	}
	defer release()
	if err := d.writeIndex(); err != nil {
		return fmt.Errorf("write index.json of %s: %w", d.path, err)
	}
	return nil
}

func (d *Dir) writeIndex() error {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	foreign, err := d.foreign()
	if err != nil {
		return err
	}
	index.Manifests = append([]v1.Descriptor{}, foreign...)
	names, err := d.Refs("")
	if err != nil {
		return err
	}
	for _, name := range names {
		r, err := d.Ref(name)
		if err != nil || r.Manifest == nil {
			continue // one that cannot be read leads nowhere
		}
		m := r.Manifest.DeepCopy()
		if m.Annotations == nil {
			m.Annotations = map[string]string{}
		}
		m.Annotations[RefAnnotation] = name
		index.Manifests = append(index.Manifests, *m)
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	f, err := d.ingest("index")
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.discard()
		return err
	}
	return f.publish(indexFile)
}

// foreign is what other tools have put into index.json.
func (d *Dir) foreign() ([]v1.Descriptor, error) {
	f, err := d.root.Open(indexFile)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	index, err := v1.ParseIndexManifest(io.LimitReader(f, maxIndex))
	if err != nil {
		return nil, fmt.Errorf("read index.json: %w", err)
	}
	var foreign []v1.Descriptor
	for _, m := range index.Manifests {
		if m.Annotations[RefAnnotation] == "" {
			foreign = append(foreign, m)
		}
	}
	return foreign, nil
}
