package keychain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// noCredentials is what helpers say, on their standard output, of a server that
// they know nothing of.
const noCredentials = "credentials not found in native keychain"

// helper is a program that is asked for the credentials of one server.
type helper struct {
	path    string // of the config.json that names it
	program string
	server  string

	mu    sync.Mutex
	known *authn.AuthConfig
	asked time.Time
}

// Source is where the credentials came from.
func (h *helper) Source() string { return h.program + ", named in " + h.path }

// Authorization is AuthorizationContext for those who have no context.
func (h *helper) Authorization() (*authn.AuthConfig, error) {
	return h.AuthorizationContext(context.Background())
}

// AuthorizationContext asks the program, or repeats what it said lately. It is
// empty for a server the program does not know.
func (h *helper) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil || time.Since(h.asked) > fresh {
		known, err := h.run(ctx)
		if err != nil {
			return nil, err
		}
		h.known, h.asked = known, time.Now()
	}
	a := *h.known
	return &a, nil
}

func (h *helper) run(ctx context.Context) (*authn.AuthConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, helperPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.program, "get")
	cmd.Stdin = strings.NewReader(h.server)
	// A child of the helper that outlives it must not keep us.
	cmd.WaitDelay = time.Second
	var out, said capped
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	fail := func(err error, code int, hint string) error {
		return &Error{Path: h.path, Helper: h.program, Err: err, code: code, hint: hint}
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fail(errors.New("the program is not on PATH"), exitConfig,
			fmt.Sprintf("install %s, or take it out of %s", h.program, h.path))
	case ctx.Err() != nil:
		return nil, fail(context.Cause(ctx), exitCredentials, "")
	case err != nil && strings.Contains(strings.ToLower(out.String()), noCredentials):
		return &authn.AuthConfig{}, nil
	case err != nil:
		// Helpers complain on either; on failure neither holds a secret.
		why := strings.Join(strings.Fields(out.String()+" "+said.String()), " ")
		if len(why) > 300 {
			why = why[:300] + "…"
		}
		if why != "" {
			err = fmt.Errorf("%w: %s", err, why)
		}
		return nil, fail(err, exitCredentials, fmt.Sprintf("try: echo %s | %s get", h.server, h.program))
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fail(errors.New("its answer is not JSON"), exitCredentials, fmt.Sprintf("try: echo %s | %s get", h.server, h.program))
	}
	switch answer.Username {
	case "<token>":
		return &authn.AuthConfig{Username: answer.Username, IdentityToken: answer.Secret}, nil
	case "":
		return &authn.AuthConfig{}, nil
	}
	return &authn.AuthConfig{Username: answer.Username, Password: answer.Secret}, nil
}

// capped keeps the first bytes written to it, and takes any number.
type capped struct{ bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	if room := maxAnswer - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
