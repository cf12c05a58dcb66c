package sign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"
)

// audience is who tokens are for, as the public authority wants it.
const audience = "sigstore"

// Where tokens are found.
const (
	tokenVariable = "SIGSTORE_ID_TOKEN"
	tokenFile     = "/var/run/sigstore/cosign/oidc-token"

	githubURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	githubToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"

	metadataHost = "GCE_METADATA_HOST" // as Google's own libraries have it
)

// metadataPatience is how long this machine may take to say whether it is Google's.
const metadataPatience = 3 * time.Second

// source gives identity tokens.
type source interface {
	name() string
	token(ctx context.Context) (string, error)
}

// findToken is a token that is good, of the first source that has one.
func findToken(ctx context.Context, o IdentityOptions, via http.RoundTripper) (*token, error) {
	for _, from := range sources(o, via) {
		text, err := from.token(ctx)
		if errors.Is(err, errNoToken) {
			continue
		}
		var t *token
		if err == nil {
			t, err = readToken(text, from)
		}
		if err != nil {
			return nil, &Error{Attempt: "read the identity token of " + from.name(), Err: plain(err), code: exitCredentials}
		}
		if t.expired(o.Now()) {
			return nil, t.late()
		}
		return t, nil
	}
	return nil, &Error{
		Attempt: "find an identity token to sign with", Err: errors.New("there is none here"), code: exitCredentials,
		hint: "give --sign-identity-token, " + tokenVariable + " or a token mounted as " + tokenFile +
			"; in GitHub's workflows, allow id-token: write; or sign with --sign-key",
	}
}

// errNoToken is a source that is not there.
var errNoToken = errors.New("no token")

// sources are where tokens come from. What the user named is the only one.
func sources(o IdentityOptions, via http.RoundTripper) []source {
	client := &http.Client{Transport: via, Timeout: patience}
	if o.Token != "" {
		return []source{given(o.Token)}
	}
	return []source{
		variable{tokenVariable, o.LookupEnv},
		mounted(tokenFile),
		github{client, o.LookupEnv},
		google{client, o.LookupEnv},
	}
}

// given is a token or a file with one.
type given string

func (g given) name() string { return "--sign-identity-token" }

func (g given) token(context.Context) (string, error) {
	if _, err := readToken(string(g), g); err == nil {
		return string(g), nil
	}
	text, err := readSmall(string(g))
	if err != nil {
		return "", fmt.Errorf("it is neither a token nor a file: %w", plain(err))
	}
	return string(text), nil
}

// variable is a token in the environment, where GitLab puts it too.
type variable struct {
	key       string
	lookupEnv func(string) (string, bool)
}

func (v variable) name() string { return v.key }

func (v variable) token(context.Context) (string, error) {
	text, _ := v.lookupEnv(v.key)
	if text == "" {
		return "", errNoToken
	}
	return text, nil
}

// mounted is a file that is renewed, as Kubernetes projects tokens.
type mounted string

func (m mounted) name() string { return string(m) }

func (m mounted) token(context.Context) (string, error) {
	text, err := readSmall(string(m))
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoToken
	}
	return string(text), err
}

// github is a workflow that may ask for tokens; see "OpenID Connect" in GitHub's
// documentation of Actions.
type github struct {
	client    *http.Client
	lookupEnv func(string) (string, bool)
}

func (github) name() string { return "GitHub Actions" }

func (g github) token(ctx context.Context) (string, error) {
	at, _ := g.lookupEnv(githubURL)
	bearer, _ := g.lookupEnv(githubToken)
	if at == "" || bearer == "" {
		return "", errNoToken
	}
	u, err := url.Parse(at)
	if err != nil {
		return "", errors.New(githubURL + " is not an address")
	}
	query := u.Query()
	query.Set("audience", audience)
	u.RawQuery = query.Encode()
	text, err := get(ctx, g.client, u.String(), http.Header{"Authorization": {"Bearer " + bearer}})
	if err != nil {
		return "", err
	}
	var answer struct {
		Value string `json:"value"`
	}
	if json.Unmarshal([]byte(text), &answer) != nil || answer.Value == "" {
		return "", errors.New("the answer has no token")
	}
	return answer.Value, nil
}

// google is a machine of Google's, such as Cloud Build's, whose account signs; see
// "Verify VM identity" in the documentation of Compute Engine.
type google struct {
	client    *http.Client
	lookupEnv func(string) (string, bool)
}

func (google) name() string { return "Google's metadata server" }

func (g google) token(ctx context.Context) (string, error) {
	host, named := g.lookupEnv(metadataHost)
	if !named || host == "" {
		host, named = "metadata.google.internal", false
	}
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	at := "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/identity?audience=" + audience + "&format=full"
	text, err := get(ctx, g.client, at, http.Header{"Metadata-Flavor": {"Google"}})
	var answered *answerError
	if err != nil && !named && !(errors.As(err, &answered) && answered.header.Get("Metadata-Flavor") == "Google") {
		return "", errNoToken // we are not there, and who answers is a proxy
	}
	return text, err
}

// answerError is a refusal.
type answerError struct {
	status int
	header http.Header
	text   string
}

func (e *answerError) Error() string {
	said := fmt.Sprintf("the answer is %d %s", e.status, http.StatusText(e.status))
	if e.text != "" {
		said += ": " + e.text
	}
	return said
}

// get asks for a small text. Its errors have nothing of the address, which may be secret.
func get(ctx context.Context, c *http.Client, at string, header http.Header) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", errors.New("it is asked for at what is no address")
	}
	req.Header = header
	resp, err := c.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", refused(resp)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKey))
	return string(text), err
}
