package registry_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

const mebi = 1 << 20

// TestUpload_resumes: what arrived before the connection broke is not sent again, where
// the registry says how much that is; where it does not, the upload begins anew.
func TestUpload_resumes(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		c            registrytest.Config
		growing      bool // the layer, while it is sent
		o            registry.Options
		begun        int // uploads
	}{
		{name: "whole", script: "PUT upload: cut at 1500000", begun: 1},
		{name: "whole, twice", script: "PUT upload: cut at 1500000\nPATCH: cut at 100000", begun: 1},
		{name: "whole, nothing arrived", script: "PUT upload: reset", begun: 2},
		{name: "growing", growing: true, script: "PATCH: cut at 1500000", begun: 1},
		{name: "in pieces", o: registry.Options{ChunkSize: mebi}, script: "2nd PATCH: cut at 100000", begun: 1},
		{name: "in pieces and growing", growing: true, o: registry.Options{ChunkSize: mebi}, script: "2nd PATCH: cut at 100000", begun: 1},
		{name: "forgetful", c: registrytest.Config{Forgetful: true}, script: "PUT upload: cut at 1500000", begun: 2},
		{name: "forgetful, in pieces", c: registrytest.Config{Forgetful: true}, o: registry.Options{ChunkSize: mebi}, script: "2nd PATCH: cut at 100000", begun: 2},
		{name: "forgetful and growing", growing: true, c: registrytest.Config{Forgetful: true}, script: "PATCH: cut at 1500000", begun: 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.Start(t, tc.c)
			s.Script(tc.script)
			c := client(t, registry.Config{Options: tc.o})
			repo := tag(t, c, s.Host()+"/app:1").Context()
			l := layer(t, image(t, 1, 3*mebi), 0)
			var err error
			if tc.growing {
				slow := newSlow(t, l, 2*mebi)
				time.AfterFunc(100*time.Millisecond, func() { slow.finish(nil) })
				err = c.PushLayer(context.Background(), repo, slow)
			} else {
				err = c.PushLayer(context.Background(), repo, l)
			}
			if err != nil {
				t.Fatalf("%v: %q", err, s.Requests())
			}
			if s.Blob("app", hash(t, l)) == nil {
				t.Errorf("the layer is not there: %q", s.Requests())
			}
			if n := s.Count("POST upload"); n != tc.begun {
				t.Errorf("began %d uploads, not %d: %q", n, tc.begun, s.Requests())
			}
			if s.Unused() != 0 {
				t.Errorf("nothing broke: %q", s.Requests())
			}
		})
	}
}

// TestUpload_pieces: no request is longer than the size that is set, whether the layer is
// known or still being written, and without one there is one request.
func TestUpload_pieces(t *testing.T) {
	for _, growing := range []bool{false, true} {
		for size, want := range map[registry.Size]int{0: 1, mebi: 4, 2 * mebi: 2, 64 * mebi: 1} {
			t.Run(fmt.Sprint(growing, size), func(t *testing.T) {
				s := registrytest.Start(t, registrytest.Config{MaxBody: int64(size)})
				c := client(t, registry.Config{Options: registry.Options{ChunkSize: size}})
				repo := tag(t, c, s.Host()+"/app:1").Context()
				l := layer(t, image(t, 1, 3*mebi+5), 0)
				var err error
				if growing {
					slow := newSlow(t, l, 2*mebi)
					time.AfterFunc(50*time.Millisecond, func() { slow.finish(nil) })
					err = c.PushLayer(context.Background(), repo, slow)
				} else {
					err = c.PushLayer(context.Background(), repo, l)
				}
				if err != nil {
					t.Fatal(err)
				}
				got := s.Count("PATCH")
				if got == 0 {
					got = s.Count("PUT upload")
				}
				if got != want {
					t.Errorf("%d requests, not %d: %q", got, want, s.Requests())
				}
			})
		}
	}
}

// TestUpload_tooLarge: what is refused for its length is sent in pieces, whose size is
// found once, and said once.
func TestUpload_tooLarge(t *testing.T) {
	for _, growing := range []bool{false, true} {
		t.Run(fmt.Sprint(growing), func(t *testing.T) {
			s := registrytest.Start(t, registrytest.Config{MaxBody: 2*mebi + 7})
			var said warnings
			c := client(t, registry.Config{Warn: said.add})
			repo := tag(t, c, s.Host()+"/app:1").Context()
			push := func() {
				t.Helper()
				l := layer(t, image(t, 1, 5*mebi), 0)
				var err error
				if growing {
					slow := newSlow(t, l, 2*mebi)
					time.AfterFunc(50*time.Millisecond, func() { slow.finish(nil) })
					err = c.PushLayer(context.Background(), repo, slow)
				} else {
					err = c.PushLayer(context.Background(), repo, l)
				}
				if err != nil {
					t.Fatal(err)
				}
				if s.Blob("app", hash(t, l)) == nil {
					t.Errorf("the layer is not there: %q", s.Requests())
				}
			}
			push()
			s.Forget()
			push()
			for _, r := range s.Requests() {
				if strings.HasSuffix(r, "413") {
					t.Errorf("what was learnt was forgotten: %q", s.Requests())
				}
			}
			if len(said.all) != 1 || !strings.Contains(said.all[0], s.Host()) || !strings.Contains(said.all[0], "2 MiB") {
				t.Errorf("said %q", said.all)
			}
		})
	}
}

// TestUpload_tooSmall: a limit below the least piece is an error that names it.
func TestUpload_tooSmall(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{MaxBody: 1000})
	c := client(t, registry.Config{})
	err := c.PushLayer(context.Background(), tag(t, c, s.Host()+"/app:1").Context(), layer(t, image(t, 1, 3*mebi), 0))
	check(t, err, "413 Request Entity Too Large", 69)
	var hint interface{ Hint() string }
	if h, ok := err.(interface{ Hint() string }); !ok || !strings.Contains(h.Hint(), "client_max_body_size") {
		t.Errorf("no hint of %v: %v", err, hint)
	}
}

// TestReal_nginx: a registry behind nginx that limits how long requests are, at the limit
// that nginx has by itself and at another, and how often it may be asked.
func TestReal_nginx(t *testing.T) {
	for version, start := range versions() {
		for name, tc := range map[string]struct{ server, outside, said string }{
			"1 MiB":         {"", "", "1 MiB"},
			"3 MB":          {"client_max_body_size 3000k;", "", "2 MiB"},
			"3 MB, at once": {"client_max_body_size 3000k; proxy_request_buffering off;", "", "2 MiB"},
			"rate": {"client_max_body_size 0; limit_req zone=all burst=3 nodelay; limit_req_status 429;",
				"limit_req_zone $binary_remote_addr zone=all:1m rate=40r/s;", ""},
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				t.Parallel()
				behind := start(t, registrytest.RealConfig{})
				host := registrytest.Nginx(t, tc.server+" location / { proxy_pass http://"+behind+"; }", tc.outside)
				var said warnings
				refused := &counting{status: http.StatusTooManyRequests}
				c := client(t, registry.Config{Warn: said.add, Wrap: refused.around, Retry: registry.Retry{Tries: 8, Wait: 20 * time.Millisecond}})
				img := image(t, 4, 4*mebi)
				if err := c.PushImage(context.Background(), tag(t, c, host+"/app:1"), img); err != nil {
					t.Fatal(err)
				}
				slow := newSlow(t, layer(t, image(t, 1, 7*mebi), 0), 2*mebi)
				time.AfterFunc(50*time.Millisecond, func() { slow.finish(nil) })
				if err := c.PushLayer(context.Background(), tag(t, c, host+"/app:1").Context(), slow); err != nil {
					t.Fatal(err)
				}
				if err := pullAll(client(t, registry.Config{}), behind+"/app:1", img); err != nil {
					t.Error(err)
				}
				if n := refused.n.Load(); (n > 0) != (name == "rate") {
					t.Errorf("%d times too many requests", n)
				}
				if got := strings.Join(said.all, "\n"); !strings.Contains(got, tc.said) || tc.said == "" && got != "" || len(said.all) > 1 {
					t.Errorf("said %q", said.all)
				}
			})
		}
	}
}

// counting counts answers of a status.
type counting struct {
	status int
	n      atomic.Int32
}

func (c *counting) around(rt http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := rt.RoundTrip(r)
		if err == nil && resp.StatusCode == c.status {
			c.n.Add(1)
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// cutter stands between a client and a registry, and breaks some connections amid what
// the client sends.
type cutter struct {
	to   string
	cuts atomic.Int32 // still to be made
	at   int64        // bytes of a connection, at which it is cut
	ctx  context.Context
	wg   sync.WaitGroup
}

func startCutter(t *testing.T, to string, cuts int32, at int64) (*cutter, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, over := context.WithCancel(context.Background())
	c := &cutter{to: to, at: at, ctx: ctx}
	c.cuts.Store(cuts)
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		over()
		c.wg.Wait()
	})
	return c, l.Addr().String()
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer server.Close()
	defer context.AfterFunc(c.ctx, func() {
		client.Close()
		server.Close()
	})()
	c.wg.Go(func() {
		io.Copy(client, server)
		client.Close()
	})
	if n, _ := io.Copy(server, io.LimitReader(client, c.at)); n < c.at {
		return
	}
	if c.cuts.Add(-1) >= 0 {
		client.(*net.TCPConn).SetLinger(0) // a reset, as of a load balancer that restarts
		return
	}
	io.Copy(server, client)
}

// TestReal_cut: connections to Docker's own registry break amid uploads.
func TestReal_cut(t *testing.T) {
	for version, start := range versions() {
		for name, o := range map[string]registry.Options{"whole": {}, "in pieces": {ChunkSize: mebi}} {
			t.Run(version+" "+name, func(t *testing.T) {
				t.Parallel()
				host := start(t, registrytest.RealConfig{})
				proxy, at := startCutter(t, host, 3, 1500000)
				c := client(t, registry.Config{Options: o, Uploads: 1})
				img := image(t, 1, 6*mebi)
				ref := tag(t, c, at+"/app:1")
				slow := newSlow(t, layer(t, image(t, 1, 5*mebi), 0), 2*mebi)
				time.AfterFunc(50*time.Millisecond, func() { slow.finish(nil) })
				if err := c.PushLayer(context.Background(), ref.Context(), slow); err != nil {
					t.Fatal(err)
				}
				if err := c.PushImage(context.Background(), ref, img); err != nil {
					t.Fatal(err)
				}
				if n := proxy.cuts.Load(); n > 0 {
					t.Errorf("%d connections were not cut", n)
				}
				if err := pullAll(client(t, registry.Config{}), host+"/app:1", img); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestReal_resume: an upload to Docker's own registry goes on after the last piece that
// arrived, when the connection breaks with the next.
func TestReal_resume(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) {
			host := start(t, registrytest.RealConfig{})
			var broken atomic.Bool
			var asked []string
			var mu sync.Mutex
			target, err := url.Parse("http://" + host)
			if err != nil {
				t.Fatal(err)
			}
			behind := httputil.NewSingleHostReverseProxy(target)
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				asked = append(asked, r.Method+" "+r.Header.Get("Content-Range"))
				mu.Unlock()
				if r.Method == http.MethodPatch && strings.HasPrefix(r.Header.Get("Content-Range"), "1048576-") && broken.CompareAndSwap(false, true) {
					panic(http.ErrAbortHandler) // before anything of the second piece came through
				}
				behind.ServeHTTP(w, r)
			}))
			defer proxy.Close()
			at := strings.TrimPrefix(proxy.URL, "http://")
			c := client(t, registry.Config{Options: registry.Options{ChunkSize: mebi}})
			l := layer(t, image(t, 1, 3*mebi), 0)
			if err := c.PushLayer(context.Background(), tag(t, c, at+"/app:1").Context(), l); err != nil {
				t.Fatal(err)
			}
			first := 0
			for _, r := range asked {
				if r == "PATCH 0-1048575" {
					first++
				}
			}
			if !broken.Load() || first != 1 {
				t.Errorf("the first piece was sent %d times: %q", first, asked)
			}
		})
	}
}
