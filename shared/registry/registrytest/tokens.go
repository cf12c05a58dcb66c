package registrytest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TokenConfig is how a [TokenServer] decides.
type TokenConfig struct {
	// Users are passwords by name. Without any, everybody is let in.
	Users map[string]string
	// Refresh are the users by refresh token, as config.json keeps them as identity
	// tokens.
	Refresh map[string]string
	// Anonymous lets those in who give no credentials, too, to pull only.
	Anonymous bool
	// Allow narrows what a user is granted; nil grants what is asked for. user is
	// empty for somebody without credentials.
	Allow func(user, repository, action string) bool
	// Life is for how long a token is good; default five minutes.
	Life time.Duration
}

// TokenServer hands out the tokens that Docker's registry asks for where it is
// configured with one (see [RealConfig]): by GET with a name and a password, and by
// POST of OAuth 2 with a password or a refresh token.
type TokenServer struct {
	URL string // where tokens are asked for

	cfg  TokenConfig
	key  *ecdsa.PrivateKey
	cert *Authority

	mu   sync.Mutex
	seen []string
}

const (
	tokenService = "registry"
	tokenIssuer  = "registrytest"
)

// StartTokens runs a token server on a free loopback port until the test is over.
func StartTokens(t testing.TB, c TokenConfig) *TokenServer {
	t.Helper()
	if c.Life <= 0 {
		c.Life = 5 * time.Minute
	}
	s := &TokenServer{cfg: c, cert: NewAuthority(t)}
	s.key = s.cert.key
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	// Clients distrust a registry that sends them to another port of 127.0.0.1.
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://localhost:" + port + "/token"
	return s
}

// Requests are those seen so far, such as "GET alice repository:app:pull 200".
func (s *TokenServer) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// config is what a registry's configuration says of the server.
func (s *TokenServer) config() string {
	return fmt.Sprintf("auth: {token: {realm: %q, service: %s, issuer: %s, rootcertbundle: %q}}\n",
		s.URL, tokenService, tokenIssuer, s.cert.File)
}

// ServeHTTP hands out a token.
func (s *TokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	scopes := r.Form["scope"]
	user, ok := s.user(r)
	status := http.StatusOK
	if !ok {
		status = http.StatusUnauthorized
	}
	s.mu.Lock()
	s.seen = append(s.seen, fmt.Sprintf("%s %s %s %d", r.Method, user, strings.Join(scopes, " "), status))
	s.mu.Unlock()
	if !ok {
		refuse(w, status, "UNAUTHORIZED", "authentication required")
		return
	}
	token, err := s.sign(user, strings.Fields(strings.Join(scopes, " ")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"token": token, "access_token": token, "scope": strings.Join(scopes, " "),
		"expires_in": int(s.cfg.Life.Seconds()), "issued_at": time.Now().UTC().Format(time.RFC3339),
	})
}

// user is who asks.
func (s *TokenServer) user(r *http.Request) (user string, ok bool) {
	user, password, given := r.BasicAuth()
	switch r.PostForm.Get("grant_type") {
	case "refresh_token":
		user, ok = s.cfg.Refresh[r.PostForm.Get("refresh_token")]
		return user, ok
	case "password":
		user, password, given = r.PostForm.Get("username"), r.PostForm.Get("password"), true
	}
	if !given {
		return "", s.cfg.Anonymous || len(s.cfg.Users)+len(s.cfg.Refresh) == 0
	}
	want, known := s.cfg.Users[user]
	return user, known && password == want || len(s.cfg.Users) == 0
}

// access is one entry of a token's claim of that name.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// granted is what of the scopes a user gets.
func (s *TokenServer) granted(user string, scopes []string) []access {
	all := []access{}
	for _, scope := range scopes {
		kind, rest, _ := strings.Cut(scope, ":")
		i := strings.LastIndex(rest, ":")
		if i < 0 {
			continue
		}
		a := access{Type: kind, Name: rest[:i], Actions: []string{}}
		for action := range strings.SplitSeq(rest[i+1:], ",") {
			if user == "" && s.cfg.Anonymous && action != "pull" {
				continue
			}
			if s.cfg.Allow == nil || s.cfg.Allow(user, a.Name, action) {
				a.Actions = append(a.Actions, action)
			}
		}
		all = append(all, a)
	}
	return all
}

// sign makes a JSON Web Token, signed with ES256, that brings its certificate along.
func (s *TokenServer) sign(user string, scopes []string) (string, error) {
	now := time.Now()
	head, err := json.Marshal(map[string]any{
		"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.cert.cert.Raw)},
	})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": tokenIssuer, "sub": user, "aud": tokenService, "jti": fmt.Sprint(now.UnixNano()),
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(s.cfg.Life).Unix(),
		"access": s.granted(user, scopes),
	})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// Sign makes a token as the server hands it out, without being asked by a client.
func (s *TokenServer) Sign(t testing.TB, user string, scopes ...string) string {
	t.Helper()
	token, err := s.sign(user, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
