// Package s3 opens an object of Amazon S3, or of a store that speaks its protocol,
// as a stream.
//
// It owns how such a store is found and asked. Credentials are looked for where
// all of Amazon's programs do: that is its SDK's doing.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// Handles reports whether the address names an object that this package opens:
// s3://BUCKET/KEY.
func Handles(u *url.URL) bool { return object.IsAmazons(u) }

// Options is what a store is asked with. Getenv has S3_ENDPOINT, the URL of a store that
// is not Amazon's, and S3_FORCE_PATH_STYLE, which is "true" where a bucket has no host of
// its own.
type Options = object.Options

// Open opens the object at u. Errors are an [object.Error].
func Open(ctx context.Context, u *url.URL, o Options) (io.ReadCloser, error) {
	return open(ctx, u, o, remote.Retry{})
}

func open(ctx context.Context, u *url.URL, o Options, retry remote.Retry) (io.ReadCloser, error) {
	bucket, key, address, err := object.Name(u)
	if err != nil {
		return nil, err
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	endpoint, err := endpoint(o.Getenv)
	if err != nil {
		return nil, &object.Error{Attempt: "open", Address: address, Err: err, Code: 78}
	}
	config, anonymous, err := configuration(ctx, o.Client)
	if err != nil {
		return nil, &object.Error{Attempt: "open", Address: address, Err: err}
	}
	s := &store{bucket: bucket, key: key, anonymous: anonymous, region: config.Region, client: func(region string) *s3.Client {
		return s3.NewFromConfig(config, func(to *s3.Options) {
			to.Region = region
			to.BaseEndpoint = firstOf(endpoint, to.BaseEndpoint)
			to.UsePathStyle = strings.EqualFold(o.Getenv("S3_FORCE_PATH_STYLE"), "true")
			to.HTTPClient = object.Client(o.Client, o.UserAgent, retry)
			to.Retryer = aws.NopRetryer{}
			to.DisableLogOutputChecksumValidationSkipped = true
		})
	}}
	return object.Open(ctx, address, s.part, retry)
}

// endpoint is where S3_ENDPOINT says that the store is; nil is where the SDK says.
func endpoint(getenv func(string) string) (*string, error) {
	text := getenv("S3_ENDPOINT")
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("S3_ENDPOINT has to be a URL like https://HOST:PORT, without credentials")
	}
	return &text, nil
}

func firstOf(a, b *string) *string {
	if a != nil {
		return a
	}
	return b
}

// store is where one object is.
type store struct {
	client      func(region string) *s3.Client
	bucket, key string
	region      string // which requests are signed for
	moved       bool   // region is what the store said
	anonymous   bool   // requests are not signed
}

// part is an [object.Source].
func (s *store) part(ctx context.Context, from int64, version string) (object.Part, error) {
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: &s.key}
	if from > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", from))
	}
	if version != "" {
		in.IfMatch = &version
	}
	out, err := s.client(s.region).GetObject(ctx, in)
	// Each answer of Amazon's says where the bucket is, also one which is that it is
	// not where it was looked for.
	if region := regionOf(err); region != "" && region != s.region && !s.moved {
		s.region, s.moved = region, true
		out, err = s.client(s.region).GetObject(ctx, in)
	}
	if err != nil {
		return object.Part{}, s.explain(err, version != "")
	}
	length := int64(-1)
	if out.ContentLength != nil {
		length = *out.ContentLength
	}
	return object.Part{Body: out.Body, Length: length, Range: aws.ToString(out.ContentRange), Version: aws.ToString(out.ETag)}, nil
}

// regionOf is the bucket's region, if the answer that err is about has it.
func regionOf(err error) string {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil {
		return ""
	}
	return answer.Response.Header.Get("X-Amz-Bucket-Region")
}

// explain says what a failed request is about; again tells that it was for the rest
// of an object which was there before.
func (s *store) explain(err error, again bool) error {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.HTTPStatusCode() == 0 {
		return err
	}
	refused := &object.AnswerError{Status: answer.HTTPStatusCode()}
	var said smithy.APIError
	if errors.As(err, &said) && said.ErrorCode() != "UnknownError" {
		refused.Code, refused.Message = said.ErrorCode(), said.ErrorMessage()
	}
	switch {
	case again && (refused.Status == http.StatusPreconditionFailed || refused.Status == http.StatusNotFound ||
		refused.Status == http.StatusRequestedRangeNotSatisfiable):
		return &object.ReplacedError{}
	case refused.Code == "InvalidAccessKeyId", refused.Code == "XAdminUserNotFound": // the latter is versitygw's, with status 404
		refused.Exit, refused.Remedy = 77, "the store does not know the access key: check which one it is, and S3_ENDPOINT if the store is not Amazon's"
	case refused.Code == "NoSuchBucket":
		refused.Remedy = fmt.Sprintf("there is no bucket %q at this store: check the address, and S3_ENDPOINT if the store is not Amazon's", s.bucket)
	case refused.Status == http.StatusNotFound:
		refused.Remedy = fmt.Sprintf("the bucket %q has no object %q", s.bucket, s.key)
	case refused.Code == "InvalidObjectState":
		refused.Exit, refused.Remedy = 69, "the object is in an archive: restore it first"
	case refused.Code == "RequestTimeTooSkewed":
		refused.Remedy = "set this machine's clock: it differs too much from the store's"
	case expired(refused.Code):
		refused.Exit, refused.Remedy = 77, "the credentials are not valid any more: get new ones"
	case refused.ExitCode() == 77 && s.anonymous:
		refused.Remedy = "the object is not public, and there are no credentials: " + sources
	case refused.ExitCode() == 77:
		refused.Remedy = "the credentials that were found have to be valid, and allowed s3:GetObject on the object; without s3:ListBucket the store says the same of an object that is not there"
	}
	return refused
}

// expired tells whether an error, which has status 400, is about credentials.
func expired(code string) bool {
	return code == "ExpiredToken" || code == "InvalidToken" || code == "TokenRefreshRequired"
}
