package clouds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
)

const (
	// acrUser is who a refresh token of an Azure registry belongs to.
	acrUser = "00000000-0000-0000-0000-000000000000"
	// acrScope is the registries' audience, the same in all of Azure's clouds.
	acrScope = "https://containerregistry.azure.net/.default"
	// acrLife is how long a refresh token is used that does not say when it ends; they
	// are good for three hours.
	acrLife = time.Hour
)

type acrCredentials struct {
	keychain.Options
}

// authority is who identities are checked by in the cloud that a registry is in.
func authority(host string) (cloud.Configuration, bool) {
	for suffix, c := range map[string]cloud.Configuration{
		".azurecr.io": cloud.AzurePublic,
		".azurecr.cn": cloud.AzureChina,
		".azurecr.us": cloud.AzureGovernment,
		".azurecr.de": {ActiveDirectoryAuthorityHost: "https://login.microsoftonline.de/"},
	} {
		if strings.HasSuffix(host, suffix) {
			return c, true
		}
	}
	return cloud.Configuration{}, false
}

func (a acrCredentials) fetch(ctx context.Context, host string) (keychain.Token, error) {
	who, from, patience, err := a.identity(host)
	if err != nil {
		return keychain.Token{}, fmt.Errorf("%s: %w", from, err)
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	access, err := who.GetToken(asking, policy.TokenRequestOptions{Scopes: []string{acrScope}})
	switch {
	case err != nil && ctx.Err() == nil && asking.Err() != nil:
		return keychain.Token{}, fmt.Errorf("%s: no answer within %v", from, patience)
	case err != nil:
		return keychain.Token{}, fmt.Errorf("%s: %w", from, err)
	}
	t, err := a.exchange(ctx, host, access.Token)
	if err != nil {
		return keychain.Token{}, fmt.Errorf("%s: exchange the token at %s: %w", from, host, err)
	}
	t.From = from
	return t, nil
}

// identity is who this process is in Azure, as the environment says it.
func (a acrCredentials) identity(host string) (who azcore.TokenCredential, from string, _ time.Duration, err error) {
	o := policy.ClientOptions{}
	if a.HTTP != nil {
		o.Transport = &http.Client{Transport: a.HTTP}
	}
	// Azure's library takes the authority from the environment if it is given none.
	// Neither that nor ours needs to be asked about in the public cloud.
	const known = true
	if a.Getenv("AZURE_AUTHORITY_HOST") == "" {
		o.Cloud, _ = authority(host)
	}
	id := a.Getenv("AZURE_CLIENT_ID")
	switch {
	case a.Getenv("AZURE_CLIENT_SECRET") != "" || a.Getenv("AZURE_CLIENT_CERTIFICATE_PATH") != "":
		who, err = azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: known})
		return who, "service principal of $AZURE_CLIENT_ID", keychain.Patience, err
	case a.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "":
		who, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: known})
		return who, "workload identity of $AZURE_FEDERATED_TOKEN_FILE", keychain.Patience, err
	}
	managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: o}
	if a.HTTP == nil {
		managed.Transport = &http.Client{Transport: a.Inward()}
	}
	if id != "" {
		managed.ID = azidentity.ClientID(id)
	}
	who, err = azidentity.NewManagedIdentityCredential(managed)
	return who, "managed identity", ambientPatience, err
}

// exchange turns a token of Azure's into one of the registry's.
func (a acrCredentials) exchange(ctx context.Context, host, access string) (keychain.Token, error) {
	form := url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {access}}
	if tenant := a.Getenv("AZURE_TENANT_ID"); tenant != "" {
		form.Set("tenant", tenant)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+"/oauth2/exchange", strings.NewReader(form.Encode()))
	if err != nil {
		return keychain.Token{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// No redirects: the form is for the registry alone.
	resp, err := a.Outward().RoundTrip(req)
	if err != nil {
		return keychain.Token{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason)) // what could be read has to do
		return keychain.Token{}, fmt.Errorf("%s: %s", resp.Status, said)
	}
	var said struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(&said); err != nil || said.RefreshToken == "" {
		return keychain.Token{}, errors.New("the answer holds no token")
	}
	return keychain.Token{
		Auth:  authn.AuthConfig{Username: acrUser, Password: said.RefreshToken},
		Until: keychain.EndOf(said.RefreshToken, time.Now().Add(acrLife)),
	}, nil
}
