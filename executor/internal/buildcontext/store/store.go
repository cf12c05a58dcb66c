// Package store is the table of object stores that a build context may be in.
//
// It owns which there are. Package clouds below it opens them, by the clouds' SDKs. A
// slim executor links none of these; it knows their addresses all the same, and
// refuses them by name rather than taking them for something else.
package store

import (
	"context"
	"io"
	"net/url"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
)

// A Store opens objects as streams.
type Store struct {
	Form    string // of its addresses, for people
	Handles func(*url.URL) bool
	Open    func(context.Context, *url.URL) (io.ReadCloser, error)
}

// Options is what stores are asked with.
type Options = object.Options

// The forms of addresses.
const (
	Googles = "gs://BUCKET/OBJECT"
	Amazons = "s3://BUCKET/KEY"
	Azures  = "https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH"
)
