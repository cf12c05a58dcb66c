package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// host stands for a registry that can be asked in a bubble of synctest, in which there
// is no network; its clock is not the machine's, so that times in it are exact.
type host struct {
	answer func(n int, atOnce int) (status int, header http.Header) // the nth request, and how many there are

	mu     sync.Mutex
	n      int
	atOnce int
	most   int
	times  []time.Duration // of requests, since the first
	first  time.Time
}

func (h *host) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == "/v2/" {
		return reply(req, http.StatusOK, nil), nil
	}
	h.mu.Lock()
	if h.n == 0 {
		h.first = time.Now()
	}
	h.n++
	h.atOnce++
	h.most = max(h.most, h.atOnce)
	h.times = append(h.times, time.Since(h.first))
	status, header := h.answer(h.n, h.atOnce)
	h.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	h.mu.Lock()
	h.atOnce--
	h.mu.Unlock()
	return reply(req, status, header), nil
}

func reply(req *http.Request, status int, header http.Header) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("")), Request: req}
}

// deleteAll sends n requests by as many goroutines as there are workers, and returns
// the errors.
func deleteAll(ctx context.Context, t *testing.T, h *host, pace *registry.Pace, n, workers int) []error {
	t.Helper()
	c := registry.New(registry.Config{
		Pace: pace, Retry: registry.Retry{Wait: time.Millisecond, Tries: 20},
		Wrap: func(http.RoundTripper) http.RoundTripper { return h },
	})
	repo, err := name.NewRepository("registry.example/a")
	if err != nil {
		t.Fatal(err)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		jobs = make(chan int)
	)
	for range workers {
		wg.Go(func() {
			for i := range jobs {
				if err := c.Delete(ctx, repo.Tag(fmt.Sprint(i))); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	return errs
}

func accept(int, int) (int, http.Header) { return http.StatusAccepted, nil }

func TestPaceRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answer: accept}
		pace := registry.NewPace(10, 8)
		if errs := deleteAll(t.Context(), t, h, pace, 21, 8); errs != nil {
			t.Fatal(errs)
		}
		if last := h.times[len(h.times)-1]; last != 2*time.Second {
			t.Errorf("21 requests at 10 a second: the last after %v", last)
		}
		if pace.Waited() == 0 {
			t.Error("nobody waited")
		}
	})
}

// TestPaceConcurrency is a host that bears three requests at a time.
func TestPaceConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bears, all = 3, 400
		refused, refusedLate := 0, 0
		h := &host{answer: func(n, atOnce int) (int, http.Header) {
			if atOnce <= bears {
				return http.StatusAccepted, nil
			}
			refused++
			if n > all/2 {
				refusedLate++
			}
			return http.StatusTooManyRequests, nil
		}}
		if errs := deleteAll(t.Context(), t, h, registry.NewPace(0, 16), all, 16); errs != nil {
			t.Fatal(errs)
		}
		if h.most != 16 {
			t.Errorf("at most %d at a time: it began with what it was allowed", h.most)
		}
		if refused == 0 || refusedLate > all/20 {
			t.Errorf("refused %d times, %d of them late", refused, refusedLate)
		}
	})
}

func TestPaceConcurrencyGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := 0
		h := &host{answer: func(n, atOnce int) (int, http.Header) {
			if n <= 8 {
				return http.StatusServiceUnavailable, nil
			}
			if n > 400 {
				late = max(late, atOnce)
			}
			return http.StatusAccepted, nil
		}}
		if errs := deleteAll(t.Context(), t, h, registry.NewPace(0, 8), 600, 8); errs != nil {
			t.Fatal(errs)
		}
		if late != 8 {
			t.Errorf("%d at a time after all went well for long", late)
		}
	})
}

// TestPaceRest: one answer that asks for a rest stops all requests to the host.
func TestPaceRest(t *testing.T) {
	for name, header := range map[string]func() http.Header{
		"Retry-After":              func() http.Header { return http.Header{"Retry-After": {"400"}} },
		"the draft, in seconds":    func() http.Header { return http.Header{"Ratelimit-Remaining": {"0"}, "Ratelimit-Reset": {"300"}} },
		"GitHub's, with the time":  func() http.Header { return reset(5 * time.Minute) },
		"Docker Hub's with window": func() http.Header { return http.Header{"Ratelimit-Remaining": {"0;w=60"}, "Ratelimit-Reset": {"300"}} },
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusForbidden, http.StatusAccepted} {
			if status == http.StatusAccepted && name == "Retry-After" {
				continue // which has no meaning there
			}
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &host{answer: func(n, _ int) (int, http.Header) {
						if n == 1 {
							return status, header()
						}
						return http.StatusAccepted, nil
					}}
					if errs := deleteAll(t.Context(), t, h, registry.NewPace(0, 1), 5, 4); errs != nil {
						t.Fatal(errs)
					}
					if h.times[1] < 299*time.Second {
						t.Errorf("asked again after %v", h.times[1])
					}
				})
			})
		}
	}
}

func reset(after time.Duration) http.Header {
	return http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {fmt.Sprint(time.Now().Add(after).Unix())}}
}

// TestPaceNoTime: who has less time than a host wants to rest is told at once.
func TestPaceNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answer: func(n, _ int) (int, http.Header) { return http.StatusAccepted, reset(30 * time.Minute) }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		errs := deleteAll(ctx, t, h, registry.NewPace(0, 1), 3, 1)
		var e *registry.Error
		if len(errs) != 2 || !errors.As(errs[0], &e) || e.ExitCode() != 75 || !strings.Contains(e.Error(), "is not to be asked before") {
			t.Errorf("%v", errs)
		}
		if h.n != 1 || time.Since(began) > time.Second {
			t.Errorf("asked %d times, in %v", h.n, time.Since(began))
		}
	})
}
