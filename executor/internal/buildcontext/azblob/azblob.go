// Package azblob opens a blob of Azure's storage as a stream.
//
// It owns which of Azure's clouds an account is in and how one gets in there. Keys
// and identities come from the environment and from the machine, never from
// another program: what would be run may be out of an image.
package azblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// Handles reports whether the address names an object that this package opens:
// https://ACCOUNT.SUFFIX/CONTAINER/PATH with the suffix of one of Azure's clouds.
func Handles(u *url.URL) bool { return object.IsAzures(u) }

// cloudOf is the cloud with a suffix of hosts.
func cloudOf(suffix string) cloud.Configuration {
	switch suffix {
	case "blob.core.chinacloudapi.cn":
		return cloud.AzureChina
	case "blob.core.usgovcloudapi.net":
		return cloud.AzureGovernment
	case "blob.core.cloudapi.de": // the SDK has forgotten Germany's
		return cloud.Configuration{ActiveDirectoryAuthorityHost: "https://login.microsoftonline.de/"}
	}
	return cloud.AzurePublic
}

// Options is what an account is asked with. Getenv has AZURE_STORAGE_ACCESS_KEY.
type Options = object.Options

// Open opens the blob at u. Errors are an [object.Error].
func Open(ctx context.Context, u *url.URL, o Options) (io.ReadCloser, error) {
	return open(ctx, u, o, remote.Retry{})
}

func open(ctx context.Context, u *url.URL, o Options, retry remote.Retry) (io.ReadCloser, error) {
	address := remote.Redact(u.String())
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if err := check(u); err != nil {
		return nil, &object.Error{Attempt: "open", Address: address, Err: err, Code: 64}
	}
	account, suffix := object.AzureAccount(u)
	options := &blob.ClientOptions{ClientOptions: azcore.ClientOptions{
		Cloud:     cloudOf(suffix),
		Transport: object.Client(o.Client, o.UserAgent, retry),
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}}
	s := &store{}
	err := s.login(ctx, u, account, o, options)
	if err != nil {
		return nil, &object.Error{Attempt: "open", Address: address, Err: err}
	}
	return object.Open(ctx, address, s.part, retry)
}

// check refuses an address that says what nobody would hear.
func check(u *url.URL) error {
	container, name, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	switch {
	case !Handles(u) || container == "" || name == "":
		return errors.New("write https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH")
	case u.User != nil:
		return errors.New("user and password mean nothing to Azure: set AZURE_STORAGE_ACCESS_KEY, or append a shared access signature")
	case u.Fragment != "":
		return errors.New("write %23 for a hash in the blob's name")
	}
	return nil
}

// store is where one blob is, and how one got in.
type store struct {
	client *blob.Client
	how    login
}

type login int

const (
	anonymous login = iota
	signature       // in the address
	key
	identity
)

// login chooses the strongest of what there is.
func (s *store) login(ctx context.Context, u *url.URL, account string, o Options, options *blob.ClientOptions) error {
	address := u.String()
	var err error
	if u.Query().Get("sig") != "" {
		s.how = signature
		s.client, err = blob.NewClientWithNoCredential(address, options)
		return err
	}
	if secret := o.Getenv("AZURE_STORAGE_ACCESS_KEY"); secret != "" {
		credential, err := blob.NewSharedKeyCredential(account, strings.TrimSpace(secret))
		if err != nil {
			return &object.CredentialsError{Err: errors.New("AZURE_STORAGE_ACCESS_KEY is no key, which is in base64"), Remedy: "copy one of the two keys of the account"}
		}
		s.how = key
		s.client, err = blob.NewClientWithSharedKeyCredential(address, credential, options)
		return err
	}
	credential, err := findIdentity(ctx, o.Client, options.Cloud)
	if err != nil {
		return err
	}
	if credential == nil {
		s.client, err = blob.NewClientWithNoCredential(address, options)
		return err
	}
	s.how = identity
	s.client, err = blob.NewClient(address, credential, options)
	return err
}

// part is an [object.Source].
func (s *store) part(ctx context.Context, from int64, version string) (object.Part, error) {
	in := &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: from}}
	if version != "" {
		tag := azcore.ETag(version)
		in.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &tag}}
	}
	out, err := s.client.DownloadStream(ctx, in)
	if err != nil {
		return object.Part{}, s.explain(err, version != "")
	}
	part := object.Part{Body: out.Body, Length: -1}
	if out.ContentLength != nil {
		part.Length = *out.ContentLength
	}
	if out.ContentRange != nil {
		part.Range = *out.ContentRange
	}
	if out.ETag != nil {
		part.Version = string(*out.ETag)
	}
	return part, nil
}

// explain says what a failed request is about; again tells that it was for the rest
// of a blob which was there before. The SDK's own text has the whole address in it,
// with the signature.
func (s *store) explain(err error, again bool) error {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return err
	}
	refused := &object.AnswerError{Status: answer.StatusCode, Code: answer.ErrorCode}
	is := func(codes ...bloberror.Code) bool { return slices.Contains(codes, bloberror.Code(answer.ErrorCode)) }
	switch {
	case again && (refused.Status == http.StatusPreconditionFailed || refused.Status == http.StatusNotFound ||
		refused.Status == http.StatusRequestedRangeNotSatisfiable):
		return &object.ReplacedError{}
	case s.how == anonymous && (refused.ExitCode() == 77 || is(bloberror.ResourceNotFound, "PublicAccessNotPermitted")):
		refused.Exit, refused.Remedy = 77, "the container is not public, or not there, and there are no credentials: "+sources
	case is(bloberror.ContainerNotFound):
		refused.Remedy = "the account has no such container"
	case refused.Status == http.StatusNotFound:
		refused.Remedy = "the container has no such blob"
	case is(bloberror.BlobArchived):
		refused.Exit, refused.Remedy = 69, "the blob is in the archive tier: rehydrate it first"
	case refused.ExitCode() == 77, is(bloberror.InvalidAuthenticationInfo):
		refused.Exit, refused.Remedy = 77, refusals(s.how)
	}
	return refused
}

// refusals says what to do if what was chosen does not open the door.
func refusals(how login) string {
	switch how {
	case signature:
		return "the signature in the address has to be for this blob, allow reading (sp=r) and not have expired (se=)"
	case key:
		return "AZURE_STORAGE_ACCESS_KEY has to be a key of this account, and the account allow keys"
	}
	return fmt.Sprintf("the identity needs the role %q for the container", "Storage Blob Data Reader")
}
