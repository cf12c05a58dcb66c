// Package gcs opens an object of Google's Cloud Storage as a stream.
//
// It owns how the store is found and asked, by its JSON interface. Credentials are
// looked for where all of Google's programs do: that is its library's doing.
package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// Handles reports whether the address names an object that this package opens:
// gs://BUCKET/OBJECT.
func Handles(u *url.URL) bool { return object.IsGoogles(u) }

// Options is what the store is asked with. Getenv has STORAGE_EMULATOR_HOST, a store
// that is not Google's, as HOST:PORT or a URL, and which is sent no credentials.
type Options = object.Options

// Open opens the object at u. Errors are an [object.Error].
func Open(ctx context.Context, u *url.URL, o Options) (io.ReadCloser, error) {
	return open(ctx, u, o, remote.Retry{})
}

func open(ctx context.Context, u *url.URL, o Options, retry remote.Retry) (io.ReadCloser, error) {
	bucket, name, address, err := object.Name(u)
	if err != nil {
		return nil, err
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	s := &store{bucket: bucket, name: name}
	if err := s.connect(ctx, o, retry); err != nil {
		return nil, &object.Error{Attempt: "open", Address: address, Err: err}
	}
	return object.Open(ctx, address, s.part, retry)
}

// store is where one object is.
type store struct {
	service      *storage.Service
	bucket, name string
	anonymous    bool // requests carry no token
}

// connect prepares what asks the store. Nothing is asked of it yet.
func (s *store) connect(ctx context.Context, o Options, retry remote.Retry) (err error) {
	client := object.Client(o.Client, o.UserAgent, retry)
	options := []option.ClientOption{option.WithHTTPClient(client)}
	if host := o.Getenv("STORAGE_EMULATOR_HOST"); host != "" {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		s.anonymous = true
		options = append(options, option.WithEndpoint(strings.TrimSuffix(host, "/")+"/storage/v1/"))
	} else if s.anonymous, err = login(ctx, client, o.Client); err != nil {
		return err
	}
	s.service, err = storage.NewService(ctx, options...)
	return err
}

// part is an [object.Source].
func (s *store) part(ctx context.Context, from int64, version string) (object.Part, error) {
	call := s.service.Objects.Get(s.bucket, s.name).Context(ctx)
	if from > 0 {
		call.Header().Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	if version != "" {
		generation, err := strconv.ParseInt(version, 10, 64)
		if err != nil {
			return object.Part{}, fmt.Errorf("the store called its object's generation %q", version)
		}
		call.Generation(generation)
	}
	resp, err := call.Download()
	if err != nil {
		return object.Part{}, s.explain(err, version != "")
	}
	return object.Part{Body: resp.Body, Length: resp.ContentLength, Range: resp.Header.Get("Content-Range"), Version: resp.Header.Get("X-Goog-Generation")}, nil
}

// explain says what a failed request is about; again tells that it was for the rest
// of an object which was there before.
func (s *store) explain(err error, again bool) error {
	var answer *googleapi.Error
	if !errors.As(err, &answer) {
		return err
	}
	refused := &object.AnswerError{Status: answer.Code, Message: answer.Message}
	if refused.Message == "" && !strings.HasPrefix(strings.TrimSpace(answer.Body), "<") {
		refused.Message = answer.Body
	}
	if len(answer.Errors) > 0 {
		refused.Code = answer.Errors[0].Reason
	}
	switch {
	case again && (refused.Status == http.StatusPreconditionFailed || refused.Status == http.StatusNotFound ||
		refused.Status == http.StatusRequestedRangeNotSatisfiable):
		return &object.ReplacedError{}
	case refused.Status == http.StatusNotFound:
		refused.Remedy = fmt.Sprintf("check the address: there is no bucket %q, or no object %q in it", s.bucket, s.name)
	case refused.ExitCode() == 77 && s.anonymous:
		refused.Remedy = "the object is not public, and there are no credentials: " + sources
	case refused.ExitCode() == 77:
		refused.Remedy = "the credentials that were found have to be valid, and allowed storage.objects.get, which the role Storage Object Viewer has; where the metadata server gives them, the machine's scopes have to include storage"
	}
	return refused
}
