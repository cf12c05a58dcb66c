package layer

import "github.com/google/go-containerregistry/pkg/v1/stream"

// ErrUnfinished is what a layer answers for its digest and size while it is
// still being written; registry clients know it and upload such a layer in chunks.
var ErrUnfinished = stream.ErrNotComputed
