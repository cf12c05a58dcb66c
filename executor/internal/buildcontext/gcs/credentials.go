package gcs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"google.golang.org/api/storage/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
)

// sources is where credentials are looked for, for those who have none.
const sources = "looked for were GOOGLE_APPLICATION_CREDENTIALS, ~/.config/gcloud/application_default_credentials.json, and the metadata server"

// tokenWait is how long there may be no token.
const tokenWait = time.Minute

// login has client send the credentials that there are. Without any, an object may
// still be public. They are asked for with base.
func login(ctx context.Context, client, base *http.Client) (anonymous bool, err error) {
	found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{storage.DevstorageReadOnlyScope}, Client: base})
	if err == nil {
		err = token(ctx, found)
	}
	switch {
	case err == nil:
		return false, httptransport.AddAuthorizationMiddleware(client, found)
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case configured() == "": // perhaps a machine of Google's without an account
		return true, nil
	}
	return false, &object.CredentialsError{
		Err:    fmt.Errorf("use the credentials of %s: %w", configured(), reason(err)),
		Remedy: "that file does not lead to a token; " + sources,
	}
}

// configured is the file that credentials are meant to be in; "" if there is none.
func configured() string {
	if path := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); path != "" {
		return path
	}
	path := filepath.Join(os.Getenv("HOME"), ".config", "gcloud", "application_default_credentials.json")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

func token(ctx context.Context, c *auth.Credentials) error {
	ctx, stop := context.WithTimeout(ctx, tokenWait)
	defer stop()
	_, err := c.Token(ctx)
	return err
}

// reason is what a library's error is about, on one line and without the content of
// a file.
func reason(err error) error {
	var answer *auth.Error
	if errors.As(err, &answer) && answer.Response != nil {
		return fmt.Errorf("the token server answered %d %s: %s", answer.Response.StatusCode, http.StatusText(answer.Response.StatusCode), oneLine(string(answer.Body)))
	}
	return errors.New(oneLine(object.Cause(err).Error()))
}

// maxReason is how many bytes of an explanation are repeated.
const maxReason = 300

func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
