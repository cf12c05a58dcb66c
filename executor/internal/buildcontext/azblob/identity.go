package azblob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
)

const (
	// sources is where credentials are looked for, for those who have none.
	sources = "looked for were a signature in the address, AZURE_STORAGE_ACCESS_KEY, AZURE_CLIENT_ID with AZURE_CLIENT_SECRET or " +
		"AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE, and a managed identity"
	// scope is what a token is for: blobs, in all clouds.
	scope = "https://storage.azure.com/.default"
	// metadata is what answers on each of Azure's machines.
	metadata = "http://169.254.169.254/metadata/identity/oauth2/token"
	// metadataWait is how long it has for a sign of life, and identityWait for a token.
	metadataWait, identityWait = 2 * time.Second, 15 * time.Second
)

// findIdentity is who this process is to Azure; nil if nobody. That is what the
// environment says or, if it says nothing, whom the machine was given.
func findIdentity(ctx context.Context, client *http.Client, c cloud.Configuration) (azcore.TokenCredential, error) {
	options := azcore.ClientOptions{Cloud: c}
	if client != nil {
		options.Transport = client
	}
	credential, configured, err := environment(options)
	if err != nil {
		return nil, unusable(err)
	}
	wait := ctx
	if credential == nil {
		if !configured && !answers(ctx, client) {
			return nil, context.Cause(ctx)
		}
		if credential, err = managed(options); err != nil {
			return nil, unusable(err)
		}
		var stop context.CancelFunc
		wait, stop = context.WithTimeout(ctx, identityWait)
		defer stop()
	}
	_, err = credential.GetToken(wait, policy.TokenRequestOptions{Scopes: []string{scope}})
	switch {
	case err == nil:
		return credential, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case !configured: // what answers is not Azure's, or has nobody to be
		return nil, nil
	}
	return nil, unusable(err)
}

// environment is the identity that variables describe, if they do. Without one,
// configured tells that they say something of the machine's.
func environment(options azcore.ClientOptions) (credential azcore.TokenCredential, configured bool, err error) {
	set := func(names ...string) bool {
		for _, name := range names {
			if os.Getenv(name) == "" {
				return false
			}
		}
		return true
	}
	switch {
	case set("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"), set("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_CERTIFICATE_PATH"):
		c, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: options})
		return c, true, err
	case set("AZURE_FEDERATED_TOKEN_FILE"):
		c, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: options})
		return c, true, err
	}
	return nil, set("IDENTITY_ENDPOINT") || set("MSI_ENDPOINT") || set("AZURE_CLIENT_ID"), nil
}

// managed is the identity of the machine, or the one of several that
// AZURE_CLIENT_ID names.
func managed(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
	if id := os.Getenv("AZURE_CLIENT_ID"); id != "" {
		o.ID = azidentity.ClientID(id)
	}
	return azidentity.NewManagedIdentityCredential(o)
}

// answers tells whether this is a machine of Azure's: its metadata refuses, with
// status 400, a request without a certain header. Others' metadata, at the same
// address, do not know the path (404) or ask for something else (401, 403). Without
// asking first, the SDK would try for long to get a token there.
func answers(ctx context.Context, client *http.Client) bool {
	ctx, stop := context.WithTimeout(ctx, metadataWait)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metadata, nil)
	if err != nil {
		return false
	}
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusBadRequest
}

func unusable(err error) error {
	return &object.CredentialsError{Err: fmt.Errorf("get a token: %w", reason(err)), Remedy: sources}
}

// reason is the heart of an SDK's error, which is pages long.
func reason(err error) error {
	var failed *azidentity.AuthenticationFailedError
	if !errors.As(err, &failed) || failed.RawResponse == nil {
		line, _, _ := strings.Cut(object.Cause(err).Error(), "\n")
		return errors.New(line)
	}
	text := fmt.Sprintf("%s answered %d %s", host(failed.RawResponse), failed.RawResponse.StatusCode, http.StatusText(failed.RawResponse.StatusCode))
	var said struct {
		Description string `json:"error_description"`
	}
	if body, err := runtime.Payload(failed.RawResponse); err == nil && json.Unmarshal(body, &said) == nil {
		if line, _, _ := strings.Cut(said.Description, "\n"); line != "" {
			text += ": " + strings.TrimSpace(line)
		}
	}
	return errors.New(text)
}

// host is who gave an answer.
func host(resp *http.Response) string {
	if resp.Request == nil {
		return "the server"
	}
	return resp.Request.URL.Host
}
