// Package registrytest runs registries for tests: one in memory that fails in
// the ways a script tells it to, and the real thing where it is installed.
package registrytest

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Config is how a [Server] behaves. Its zero value is an open registry in which
// nothing goes wrong.
type Config struct {
	// Script is what goes wrong; see [Server.Script].
	Script string
	// User and Password, if set, are asked for, with a token service if Token is
	// set and by HTTP's basic authentication otherwise. Token alone hands out tokens
	// to anybody.
	User, Password string
	Token          bool
	// ReadOnly refuses pushes with 403.
	ReadOnly bool
	// Mounts says whether blobs are mounted from one repository to another.
	Mounts bool
	// Immutable refuses to move a tag.
	Immutable bool // in the words of Amazon's ECR
	// Forgetful loses what arrived of an upload whose connection broke, and does not
	// say of any how much has arrived.
	Forgetful bool
	// MaxBody refuses requests with a longer body, in bytes, as a proxy before a
	// registry does; 0 is no limit.
	MaxBody int64
	// NoRanges makes the server ignore Range headers.
	NoRanges bool
	// Referrers lists what refers to a manifest, two to a page.
	Referrers bool
	// TLS serves HTTPS with a certificate of its own making.
	TLS bool
	// Public listens at an address of this machine that clients do not take for one: plain
	// HTTP is not as good as TLS there.
	Public bool
	// Certificate serves HTTPS with that one.
	Certificate Pair
	// Clients are asked for a certificate of this authority.
	Clients *Authority
}

// Server is a registry in memory. Unlike many, it knows which blob is in which
// repository and refuses a manifest whose blobs are not there.
type Server struct {
	cfg  Config
	http *httptest.Server
	t    testing.TB
	over chan struct{} // closed at the end of the test

	mu        sync.Mutex
	faults    []*fault
	seen      []string
	blobs     map[string]map[string][]byte // repository, digest
	manifests map[string]map[string]stored // repository, digest or tag
	uploads   map[string][]byte
	tokens    map[string]string // token to scopes
	next      int
}

type stored struct {
	raw       []byte
	mediaType string
}

// Start runs a registry on a free loopback port until the test is over.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	s := &Server{
		cfg: c, t: t, over: make(chan struct{}),
		blobs: map[string]map[string][]byte{}, manifests: map[string]map[string]stored{},
		uploads: map[string][]byte{}, tokens: map[string]string{},
	}
	s.Script(c.Script)
	s.http = httptest.NewUnstartedServer(s)
	if c.Public {
		s.http.Listener.Close()
		var err error
		if s.http.Listener, err = net.Listen("tcp", "127.0.0.2:0"); err != nil {
			t.Fatal(err)
		}
	}
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // tests break handshakes on purpose
	if c.TLS || c.Certificate != (Pair{}) {
		s.http.TLS = c.tls(t)
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	t.Cleanup(func() {
		close(s.over)
		s.http.CloseClientConnections()
		s.http.Close()
	})
	return s
}

// tls is how HTTPS is served; a certificate is made where none is given.
func (c *Config) tls(t testing.TB) *tls.Config {
	config := &tls.Config{}
	if c.Certificate != (Pair{}) {
		own, err := tls.LoadX509KeyPair(c.Certificate.Cert, c.Certificate.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	if c.Clients != nil {
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		config.ClientCAs.AddCert(c.Clients.cert)
	}
	return config
}

// Host is the server's address, as it stands in references.
func (s *Server) Host() string {
	_, host, _ := strings.Cut(s.http.URL, "://")
	return host
}

// Requests are those seen so far, such as "GET blob app 206": method, kind,
// repository, status; 0 stands for a connection that was cut.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Count counts the requests that begin with a prefix.
func (s *Server) Count(prefix string) int {
	n := 0
	for _, r := range s.Requests() {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

// Forget empties what Requests returns.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
}

// Blob is the content of a blob in a repository, nil if it is not there.
func (s *Server) Blob(repo string, h v1.Hash) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[repo][h.String()]
}

// Manifest is what a tag or digest stands for in a repository, nil if nothing.
func (s *Server) Manifest(repo, tag string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.manifests[repo][tag].raw
}

// Tags are those of a repository, sorted.
func (s *Server) Tags(repo string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags := []string{}
	for t := range s.manifests[repo] {
		if !strings.Contains(t, ":") {
			tags = append(tags, t)
		}
	}
	slices.Sort(tags)
	return tags
}

// Plant puts anything under a tag, which no registry would take from a client.
func (s *Server) Plant(repo, tag, mediaType string, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.manifests[repo] == nil {
		s.manifests[repo] = map[string]stored{}
	}
	s.manifests[repo][tag] = stored{raw, mediaType}
}

// Spoil gives a blob another content, as a broken disk may.
func (s *Server) Spoil(repo string, h v1.Hash, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(repo, h.String(), content)
}

// Lose takes a blob away, as a registry's garbage collection may.
func (s *Server) Lose(repo string, h v1.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs[repo], h.String())
}

// request is a request taken apart.
type request struct {
	kind string // ping, blob, upload, mount, manifest, tags, referrers, token
	repo string
	name string // digest, tag or upload
}

func parse(r *http.Request) request {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	switch {
	case r.URL.Path == "/token":
		return request{kind: "token"}
	case path == "" || r.URL.Path == "/v2":
		return request{kind: "ping"}
	}
	for _, k := range []struct{ sep, kind string }{{"/blobs/uploads/", "upload"}, {"/blobs/", "blob"}, {"/manifests/", "manifest"}, {"/tags/", "tags"}, {"/referrers/", "referrers"}} {
		if i := strings.LastIndex(path, k.sep); i >= 0 {
			q := request{k.kind, path[:i], path[i+len(k.sep):]}
			if q.kind == "upload" && r.URL.Query().Has("mount") {
				q.kind = "mount"
			}
			return q
		}
	}
	return request{kind: "unknown"}
}

// ServeHTTP answers as the script has it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := parse(r)
	rec := &recorder{ResponseWriter: w}
	defer func() {
		s.mu.Lock()
		s.seen = append(s.seen, strings.TrimSpace(fmt.Sprintf("%s %s %s %d", r.Method, q.kind, q.repo, rec.status)))
		s.mu.Unlock()
		if p := recover(); p != nil {
			panic(p)
		}
	}()
	if f := s.match(r.Method, q.kind); f != nil {
		if f.apply(s, rec, r, q) {
			return
		}
	}
	s.serve(rec, r, q)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, q request) {
	if q.kind == "token" {
		s.token(w, r)
		return
	}
	if !s.allowed(w, r, q) {
		return
	}
	if s.cfg.MaxBody > 0 {
		if r.ContentLength > s.cfg.MaxBody {
			http.Error(w, "<html>too large</html>", http.StatusRequestEntityTooLarge)
			return
		}
		head, err := io.ReadAll(io.LimitReader(r.Body, s.cfg.MaxBody+1))
		if int64(len(head)) > s.cfg.MaxBody {
			http.Error(w, "<html>too large</html>", http.StatusRequestEntityTooLarge)
			return
		}
		if err == nil {
			r.Body = io.NopCloser(bytes.NewReader(head))
		}
	}
	switch q.kind {
	case "ping":
		w.WriteHeader(http.StatusOK)
	case "blob":
		s.blob(w, r, q)
	case "upload", "mount":
		s.upload(w, r, q)
	case "manifest":
		s.manifest(w, r, q)
	case "tags":
		s.tags(w, q)
	case "referrers":
		s.referrers(w, r, q)
	default:
		refuse(w, http.StatusNotFound, "UNSUPPORTED", "no such path")
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

// allowed authenticates and authorizes.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, q request) bool {
	writes := r.Method != http.MethodGet && r.Method != http.MethodHead
	switch {
	case s.cfg.Token:
		need := ""
		if q.repo != "" {
			need = "repository:" + q.repo + ":pull"
			if writes {
				need += ",push"
			}
		}
		got, ok := s.granted(r)
		if !ok || need != "" && !covers(got, q.repo, writes) {
			challenge := fmt.Sprintf(`Bearer realm="%s/token",service="test"`, s.http.URL)
			if need != "" {
				challenge += fmt.Sprintf(`,scope="%s"`, need)
			}
			w.Header().Set("WWW-Authenticate", challenge)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return false
		}
		if q.kind == "mount" && !covers(got, r.URL.Query().Get("from"), false) {
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "the source of the mount may not be read")
			return false
		}
	case s.cfg.User != "":
		if u, p, _ := r.BasicAuth(); u != s.cfg.User || p != s.password() {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return false
		}
	}
	if s.cfg.ReadOnly && writes {
		refuse(w, http.StatusForbidden, "DENIED", "this registry is read-only")
		return false
	}
	return true
}

func covers(scopes, repo string, writes bool) bool {
	for _, scope := range strings.Fields(scopes) {
		name, actions, _ := strings.Cut(strings.TrimPrefix(scope, "repository:"), ":")
		if name == repo && (!writes || strings.Contains(actions, "push")) {
			return true
		}
	}
	return false
}

func (s *Server) granted(r *http.Request) (scopes string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	scopes, ok = s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	return scopes, ok
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if s.cfg.User != "" {
		if u, p, _ := r.BasicAuth(); u != s.cfg.User || p != s.password() {
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "wrong user or password")
			return
		}
	}
	s.mu.Lock()
	s.next++
	t := fmt.Sprintf("token-%d", s.next)
	s.tokens[t] = strings.Join(r.URL.Query()["scope"], " ")
	s.mu.Unlock()
	json.NewEncoder(w).Encode(map[string]any{"token": t, "expires_in": 300})
}

func (s *Server) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

func (s *Server) blob(w http.ResponseWriter, r *http.Request, q request) {
	s.mu.Lock()
	b, ok := s.blobs[q.repo][q.name]
	s.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	w.Header().Set("Docker-Content-Digest", q.name)
	w.Header().Set("Content-Type", "application/octet-stream")
	status, body := http.StatusOK, b
	if ranges := r.Header.Get("Range"); ranges != "" && !s.cfg.NoRanges {
		from, to, _ := strings.Cut(strings.TrimPrefix(ranges, "bytes="), "-")
		a, err := strconv.Atoi(from)
		z, err2 := strconv.Atoi(to)
		if to == "" {
			z, err2 = len(b)-1, nil
		}
		if err != nil || err2 != nil || a >= len(b) || z >= len(b) || z < a {
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", ranges)
			return
		}
		status, body = http.StatusPartialContent, b[a:z+1]
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a, z, len(b)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		w.Write(body)
	}
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request, q request) {
	switch r.Method {
	case http.MethodPost:
		if from := r.URL.Query().Get("from"); q.kind == "mount" && s.cfg.Mounts {
			s.mu.Lock()
			b, ok := s.blobs[from][r.URL.Query().Get("mount")]
			if ok {
				s.keep(q.repo, r.URL.Query().Get("mount"), b)
			}
			s.mu.Unlock()
			if ok {
				w.Header().Set("Location", "/v2/"+q.repo+"/blobs/"+r.URL.Query().Get("mount"))
				w.WriteHeader(http.StatusCreated)
				return
			}
		}
		s.mu.Lock()
		s.next++
		id := fmt.Sprintf("upload-%d", s.next)
		s.uploads[id] = nil
		s.mu.Unlock()
		w.Header().Set("Location", "/v2/"+q.repo+"/blobs/uploads/"+id+"?state=a%2Fb")
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPatch, http.MethodPut:
		body, err := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		sofar, ok := s.uploads[q.name]
		if !ok || r.URL.Query().Get("state") != "a/b" {
			refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
			return
		}
		all := append(sofar, body...)
		if err != nil {
			s.uploads[q.name] = all
			if s.cfg.Forgetful {
				delete(s.uploads, q.name)
			}
			return // there is nobody to answer
		}
		if r.Method == http.MethodPatch {
			if from, to, ok := contentRange(r); ok && (from != len(sofar) || to != len(all)-1) {
				refuse(w, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", r.Header.Get("Content-Range"))
				return
			}
			s.uploads[q.name] = all
			w.Header().Set("Range", fmt.Sprintf("0-%d", max(len(all)-1, 0)))
			w.Header().Set("Location", "/v2/"+q.repo+"/blobs/uploads/"+q.name+"?state=a%2Fb")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		delete(s.uploads, q.name)
		want := r.URL.Query().Get("digest")
		if got := digest(all); got != want {
			refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
			return
		}
		s.keep(q.repo, want, all)
		w.Header().Set("Docker-Content-Digest", want)
		w.WriteHeader(http.StatusCreated)
	case http.MethodGet:
		s.mu.Lock()
		defer s.mu.Unlock()
		sofar, ok := s.uploads[q.name]
		if !ok || s.cfg.Forgetful {
			refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
			return
		}
		w.Header().Set("Range", fmt.Sprintf("0-%d", max(len(sofar)-1, 0)))
		w.Header().Set("Location", "/v2/"+q.repo+"/blobs/uploads/"+q.name+"?state=a%2Fb")
		w.WriteHeader(http.StatusNoContent)
	case http.MethodDelete:
		s.mu.Lock()
		delete(s.uploads, q.name)
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", r.Method)
	}
}

// contentRange is what a request says which part of an upload it is.
func contentRange(r *http.Request) (from, to int, ok bool) {
	n, _ := fmt.Sscanf(r.Header.Get("Content-Range"), "%d-%d", &from, &to)
	return from, to, n == 2
}

func (s *Server) keep(repo, digest string, b []byte) {
	if s.blobs[repo] == nil {
		s.blobs[repo] = map[string][]byte{}
	}
	s.blobs[repo][digest] = b
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

func (s *Server) manifest(w http.ResponseWriter, r *http.Request, q request) {
	if r.Method == http.MethodPut {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if missing := s.missing(q.repo, raw); missing != "" {
			refuse(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", missing)
			return
		}
		_, ok := s.manifests[q.repo][q.name]
		if s.cfg.Immutable && ok {
			refuse(w, http.StatusBadRequest, "TAG_INVALID", "The image tag '"+q.name+"' already exists in the '"+q.repo+"' repository and cannot be overwritten because the tag is immutable.")
			return
		}
		if s.manifests[q.repo] == nil {
			s.manifests[q.repo] = map[string]stored{}
		}
		m := stored{raw, r.Header.Get("Content-Type")}
		s.manifests[q.repo][q.name] = m
		s.manifests[q.repo][digest(raw)] = m
		w.Header().Set("Docker-Content-Digest", digest(raw))
		if subject := subjectOf(raw); s.cfg.Referrers && subject != "" {
			w.Header().Set("OCI-Subject", subject)
		}
		w.WriteHeader(http.StatusCreated)
		return
	}
	s.mu.Lock()
	m, ok := s.manifests[q.repo][q.name]
	s.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", digest(m.raw))
	w.Header().Set("Content-Length", strconv.Itoa(len(m.raw)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		w.Write(m.raw)
	}
}

// missing names a blob or manifest that raw speaks of and the repository lacks.
func (s *Server) missing(repo string, raw []byte) string {
	var m struct {
		Config    *v1.Descriptor
		Layers    []v1.Descriptor
		Manifests []v1.Descriptor
	}
	if json.Unmarshal(raw, &m) != nil {
		return "no JSON"
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, d := range m.Layers {
		if _, ok := s.blobs[repo][d.Digest.String()]; !ok && types.MediaType(d.MediaType).IsDistributable() {
			return d.Digest.String()
		}
	}
	for _, d := range m.Manifests {
		if _, ok := s.manifests[repo][d.Digest.String()]; !ok {
			return d.Digest.String()
		}
	}
	return ""
}

func (s *Server) tags(w http.ResponseWriter, q request) {
	json.NewEncoder(w).Encode(map[string]any{"name": q.repo, "tags": s.Tags(q.repo)})
}

// recorder notes the status, and cuts an answer short.
type recorder struct {
	http.ResponseWriter
	status int
	limit  int    // bytes of the body that get through; 0 is no limit
	hang   func() // what then comes instead of a broken connection
	flip   bool
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.flip && len(p) > 0 {
		p = bytes.Clone(p)
		p[len(p)/2] ^= 1
	}
	if r.limit > 0 && len(p) > r.limit {
		r.ResponseWriter.Write(p[:r.limit])
		r.ResponseWriter.(http.Flusher).Flush()
		if r.hang != nil {
			r.hang()
		}
		panic(http.ErrAbortHandler)
	}
	return r.ResponseWriter.Write(p)
}

// SetPassword changes the password that is asked for.
func (s *Server) SetPassword(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Password = password
}

func (s *Server) password() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Password
}
