package clouds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
)

const (
	// googleUser is who an access token of Google's belongs to, at its registries.
	googleUser  = "oauth2accesstoken"
	googleScope = "https://www.googleapis.com/auth/cloud-platform"
	// metadataAddress is that of Compute Engine's metadata server. It is an address, for
	// a name would have to be looked up.
	metadataAddress = "169.254.169.254"
	metadataFlavor  = "Metadata-Flavor"
	metadataTries   = 3
)

type googleCredentials struct {
	keychain.Options
}

// fetch looks in the order of Google's application default credentials.
func (g googleCredentials) fetch(ctx context.Context, _ string) (keychain.Token, error) {
	if path := g.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); path != "" {
		t, err := g.file(ctx, path)
		if err != nil {
			err = fmt.Errorf("$GOOGLE_APPLICATION_CREDENTIALS: %w", err)
		}
		t.From = "file of $GOOGLE_APPLICATION_CREDENTIALS"
		return t, err
	}
	if path := g.wellKnown(); path != "" {
		t, err := g.file(ctx, path)
		if !errors.Is(err, fs.ErrNotExist) {
			t.From = path
			return t, err
		}
	}
	return g.metadata(ctx)
}

// wellKnown is where gcloud auth application-default login writes.
func (g googleCredentials) wellKnown() string {
	dir := g.Getenv("CLOUDSDK_CONFIG")
	if dir == "" {
		home := g.Getenv("HOME")
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".config", "gcloud")
	}
	return filepath.Join(dir, "application_default_credentials.json")
}

// file gets a token for the key of a service account, for a user's refresh token, or
// by the federation of identities, whichever a file describes.
func (g googleCredentials) file(ctx context.Context, path string) (keychain.Token, error) {
	var kind struct{ Type google.CredentialsType }
	raw, err := keychain.ReadJSON(path, &kind)
	if err != nil {
		return keychain.Token{}, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: g.Outward()})
	// The token source keeps the context: it is made anew for each token.
	c, err := google.CredentialsFromJSONWithType(ctx, raw, kind.Type, googleScope)
	if err != nil {
		return keychain.Token{}, fmt.Errorf("read %s: %w", path, err)
	}
	t, err := c.TokenSource.Token()
	if err != nil {
		return keychain.Token{}, fmt.Errorf("get a token for %s: %w", path, err)
	}
	return googleToken(t.AccessToken, t.Expiry, ""), nil
}

func googleToken(access string, until time.Time, from string) keychain.Token {
	return keychain.Token{Auth: authn.AuthConfig{Username: googleUser, Password: access}, Until: until, From: from}
}

// metadata asks the server that machines, pods and jobs in Google's cloud have. In a
// cluster it may come up after the pod.
func (g googleCredentials) metadata(ctx context.Context) (keychain.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, ambientPatience)
	defer cancel()
	host := g.Getenv("GCE_METADATA_HOST")
	if host == "" {
		host = metadataAddress
	}
	for try := 1; ; try++ {
		t, again, err := g.askMetadata(ctx, host)
		if err == nil || !again || try == metadataTries {
			if err != nil {
				err = fmt.Errorf("no credentials in a file, and the metadata server at %s: %w", host, err)
			}
			return t, err
		}
		select {
		case <-time.After(time.Duration(try) * 300 * time.Millisecond):
		case <-ctx.Done():
			return keychain.Token{}, err
		}
	}
}

// askMetadata says too whether it may go better another time.
func (g googleCredentials) askMetadata(ctx context.Context, host string) (_ keychain.Token, again bool, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://"+host+"/computeMetadata/v1/instance/service-accounts/default/token", nil)
	if err != nil {
		return keychain.Token{}, false, err
	}
	req.Header.Set(metadataFlavor, "Google")
	resp, err := g.Inward().RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v", ambientPatience)
		}
		return keychain.Token{}, g.Getenv("KUBERNETES_SERVICE_HOST") != "", err
	}
	defer resp.Body.Close()
	// Other clouds answer at the same address.
	if resp.Header.Get(metadataFlavor) != "Google" {
		return keychain.Token{}, false, errors.New("it is not Google's")
	}
	if resp.StatusCode != http.StatusOK {
		return keychain.Token{}, resp.StatusCode >= 500, errors.New(resp.Status)
	}
	var said struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(&said); err != nil || said.AccessToken == "" {
		return keychain.Token{}, false, errors.New("its answer holds no token")
	}
	return googleToken(said.AccessToken, time.Now().Add(time.Duration(said.ExpiresIn)*time.Second), "metadata server"), false, nil
}
