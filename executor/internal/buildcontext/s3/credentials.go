package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/smithy-go/logging"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
)

// sources is where credentials are looked for, for those who have none.
const sources = "looked for were AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE, ~/.aws/credentials and ~/.aws/config, " +
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI, and the instance's metadata"

// defaultRegion is where a bucket is looked for at first if nothing says where it is.
const defaultRegion = "us-east-1"

// configuration is what the process's environment and files say, and whether there
// are credentials at all. Without, an object may still be public.
func configuration(ctx context.Context, client *http.Client) (c aws.Config, anonymous bool, err error) {
	c, err = config.LoadDefaultConfig(ctx, config.WithHTTPClient(credentialsClient(client)), config.WithDefaultRegion(defaultRegion), config.WithLogger(logging.Nop{}))
	if err != nil {
		return c, false, &configError{err}
	}
	_, err = c.Credentials.Retrieve(ctx)
	switch {
	case err == nil:
		return c, false, nil
	case ctx.Err() != nil:
		return c, false, context.Cause(ctx)
	case aws.IsCredentialsProvider(c.Credentials, (*ec2rolecreds.Provider)(nil)):
		// The instance is asked last, whether or not this is one of Amazon's.
		c.Credentials = aws.AnonymousCredentials{}
		return c, true, nil
	}
	return c, false, &object.CredentialsError{
		Err:    fmt.Errorf("get credentials: %w", object.Cause(err)),
		Remedy: "what is configured does not lead to credentials; " + sources,
	}
}

// credentialsClient is client as the SDK can adapt it: it asks an instance's metadata
// with less patience than anything else, for most machines have none.
func credentialsClient(client *http.Client) aws.HTTPClient {
	built := awshttp.NewBuildableClient()
	if client == nil {
		return built
	}
	t, ok := client.Transport.(*http.Transport)
	if !ok {
		return client
	}
	return built.WithTransportOptions(func(to *http.Transport) {
		to.Proxy, to.DialContext, to.TLSClientConfig = t.Proxy, t.DialContext, t.TLSClientConfig.Clone()
	})
}

// A configError is a file or a variable of Amazon's that cannot be understood.
type configError struct{ err error }

func (e *configError) Error() string { return fmt.Sprintf("read Amazon's configuration: %v", e.err) }

func (e *configError) Unwrap() error { return e.err }

// ExitCode is EX_CONFIG.
func (e *configError) ExitCode() int { return 78 }

// Hint says what to look at.
func (e *configError) Hint() string {
	var missing config.SharedConfigProfileNotExistError
	if errors.As(e.err, &missing) {
		return fmt.Sprintf("AWS_PROFILE names %q, which is in none of the files ~/.aws/config and ~/.aws/credentials", missing.Profile)
	}
	return "look at ~/.aws/config and ~/.aws/credentials, and at the variables whose names begin with AWS_"
}
