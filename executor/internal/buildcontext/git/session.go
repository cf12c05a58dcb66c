package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// service is the program that serves fetches.
const service = "git-upload-pack"

// session is a conversation with a repository's server: its references first,
// then, at most once, a pack.
type session interface {
	advertised(context.Context) (*packp.AdvRefs, error)
	pack(context.Context, *packp.UploadPackRequest) (*packp.UploadPackResponse, error)
	io.Closer
}

func (f *fetcher) open(ctx context.Context, m module) (session, error) {
	switch m.at.scheme {
	case "ssh":
		return f.openSSH(ctx, m.at)
	case "git":
		return openGit(ctx, m.at)
	}
	endpoint, err := transport.NewEndpoint(m.at.String())
	if err != nil {
		return nil, err
	}
	var auth transport.AuthMethod
	if m.user != nil {
		password, _ := m.user.Password()
		auth = &githttp.BasicAuth{Username: m.user.Username(), Password: password}
	}
	client := http.Client{}
	if f.client != nil {
		client = *f.client
	}
	client.Transport = &remote.Patient{Base: client.Transport, Retry: f.retry}
	s, err := githttp.NewClient(&client).NewUploadPackSession(endpoint, auth)
	if err != nil {
		return nil, err
	}
	return web{s}, nil
}

// web is a session over http.
type web struct{ session transport.UploadPackSession }

func (w web) advertised(ctx context.Context) (*packp.AdvRefs, error) {
	return w.session.AdvertisedReferencesContext(ctx)
}

func (w web) pack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	return w.session.UploadPack(ctx, req)
}

func (w web) Close() error { return w.session.Close() }

// stream is a session over one connection, as git's own protocol and ssh have it.
type stream struct {
	in      io.Writer
	out     io.Reader
	message *message     // what the server says beside; nil if it cannot
	wait    func() error // until the server's side has ended; nil if nobody can know
	done    bool         // the server has what it needs to end
	close   func() error
}

func (s *stream) advertised(context.Context) (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	err := adv.Decode(s.out)
	var line *pktline.ErrorLine
	switch {
	case err == nil:
		if adv.IsEmpty() {
			return nil, transport.ErrEmptyRemoteRepository
		}
		transport.FilterUnsupportedCapabilities(adv.Capabilities)
		return adv, nil
	case errors.Is(err, packp.ErrEmptyAdvRefs):
		return nil, transport.ErrEmptyRemoteRepository
	case errors.As(err, &line):
		return nil, refusal(line.Text)
	case errors.Is(err, packp.ErrEmptyInput):
		s.done = true
		if s.wait != nil {
			s.wait() // then what the server has to say is there; how it ended is no news
		}
		if text := s.message.String(); text != "" {
			return nil, refusal(text)
		}
		return nil, errors.New("the server hung up without an answer")
	}
	return nil, err
}

func (s *stream) pack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	s.done = true
	var b bytes.Buffer
	if err := errors.Join(req.UploadRequest.Encode(&b), req.UploadHaves.Encode(&b, false), pktline.NewEncoder(&b).EncodeString("done\n")); err != nil {
		return nil, err
	}
	if _, err := s.in.Write(b.Bytes()); err != nil {
		return nil, err
	}
	resp := packp.NewUploadPackResponse(req)
	return resp, resp.Decode(io.NopCloser(s.out))
}

func (s *stream) Close() error {
	if !s.done {
		s.in.Write(pktline.FlushPkt) // a polite good-bye; there may be nobody left
	}
	return s.close()
}

// refusal is a server's own words for why there is nothing.
func refusal(text string) error {
	text = strings.Join(strings.Fields(strings.TrimPrefix(text, "ERR ")), " ")
	for _, words := range []string{"not found", "does not appear to be a git repository", "does not exist", "not exported", "no such repository"} {
		if strings.Contains(strings.ToLower(text), words) {
			return fmt.Errorf("%w: the server says %q", transport.ErrRepositoryNotFound, text)
		}
	}
	return fmt.Errorf("the server says %q", text)
}

// message is the beginning of what a server says for people.
type message struct {
	mu   sync.Mutex
	text []byte
}

// Write implements [io.Writer].
func (m *message) Write(p []byte) (int, error) {
	const enough = 1 << 10
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = append(m.text, p[:min(len(p), enough-len(m.text))]...)
	return len(p), nil
}

func (m *message) String() string {
	if m == nil {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.text)
}

// silence is how long a server of a stream may say nothing.
const silence = 2 * time.Minute

// dial connects to a repository's host. The connection ends with the context.
func dial(ctx context.Context, at address, port string) (net.Conn, error) {
	host := at.host
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	var d net.Dialer
	d.Timeout = silence
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return &timed{Conn: conn, stop: stop}, nil
}

// timed is a connection on which nobody may be silent for too long.
type timed struct {
	net.Conn
	stop func() bool
}

func (t *timed) Read(p []byte) (int, error) {
	if err := t.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return t.Conn.Read(p)
}

func (t *timed) Write(p []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return t.Conn.Write(p)
}

func (t *timed) Close() error {
	t.stop()
	return t.Conn.Close()
}

// openGit begins a session in git's own protocol, which neither encrypts nor
// knows users.
func openGit(ctx context.Context, at address) (session, error) {
	conn, err := dial(ctx, at, "9418")
	if err != nil {
		return nil, err
	}
	ask := packp.GitProtoRequest{RequestCommand: service, Pathname: at.path, Host: at.host}
	if err := ask.Encode(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return &stream{in: conn, out: conn, close: conn.Close}, nil
}
