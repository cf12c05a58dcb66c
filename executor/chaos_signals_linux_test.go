package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestChaos_signals sends SIGTERM and SIGKILL to builds at each line of the log, and
// before and after each request: that is where spans of a trace begin and end. Nothing is
// lost then, and nothing left. docs/reliability.md.
func TestChaos_signals(t *testing.T) {
	u := newRuins(t)
	most := int64(1 << 20)
	if u.programs == "" {
		most = 2
	}
	most = setting(t, chaosRuns, most)
	whole := &moment{at: -1}
	r, _ := u.interrupted(t, "whole", whole)
	if out, err := r.buildUntil(whole); err != nil {
		t.Fatalf("without signals: %v\n%s", err, out)
	}
	moments := int64(len(whole.seen))
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		var outcomes tally
		runs := min(moments, most)
		t.Run(strings.ReplaceAll(signal.String(), " ", "_"), func(t *testing.T) {
			for n := range runs {
				at := n * moments / runs
				t.Run(fmt.Sprint("moment ", at), func(t *testing.T) {
					t.Parallel()
					m := &moment{at: int(at), signal: signal}
					u.interrupt(t, fmt.Sprint("signal", int(signal), "at", at), m, &outcomes)
				})
			}
		})
		t.Logf("%s at %d of %d moments\n%s", signal, runs, moments, outcomes.String())
	}
}

// moment is when a signal is sent: at what happens as that number, never if it is below 0.
type moment struct {
	at     int
	signal syscall.Signal

	mu      sync.Mutex
	process *os.Process
	seen    []string
	log     bytes.Buffer
}

func (m *moment) happens(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen) == m.at && m.process != nil {
		m.process.Signal(m.signal) //nolint:errcheck // it may be over
	}
	m.seen = append(m.seen, what)
}

// Write takes the log.
func (m *moment) Write(p []byte) (int, error) {
	m.happens(strings.TrimSpace(string(p)))
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(p)
}

// interrupted begins a run whose requests are moments.
func (u *ruins) interrupted(t *testing.T, repo string, m *moment) (*ruin, v1.Hash) {
	t.Helper()
	f := registrytest.StartFaults(t, registrytest.FaultConfig{Registry: u.open, Event: m.happens})
	f.Quiet(true)
	r := u.begin(t, repo, f.Host(), false)
	r.flags = append(r.flags, "--cache", "--cache-copy-layers", "--cache-repo="+r.cache, "--trace-file="+filepath.Join(r.dir, "trace"))
	return r, r.tagOld(t)
}

// buildUntil builds until it is over, or a moment's signal ends it.
func (r *ruin) buildUntil(m *moment) ([]byte, error) {
	ctx, stop := context.WithTimeout(context.Background(), chaosPatience)
	defer stop()
	cmd := r.command(ctx, "executor", r.flags...)
	cmd.Stdout, cmd.Stderr = m, m
	m.mu.Lock()
	err := cmd.Start()
	m.process = cmd.Process
	m.mu.Unlock()
	if err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		err = errHangs
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.process = nil
	return m.log.Bytes(), err
}

func (u *ruins) interrupt(t *testing.T, repo string, m *moment, outcomes *tally) {
	r, old := u.interrupted(t, repo, m)
	out, err := r.buildUntil(m)
	code, want := status(err), u.want["gzip"]
	outcomes.add(fmt.Sprint(code), 1)
	allowed := []int{0, 143}
	if m.signal == syscall.SIGKILL {
		allowed = []int{0, -1}
	}
	if !slices.Contains(allowed, code) || err == errHangs {
		t.Errorf("it ends with %d: %v", code, err)
	}
	legible(t, append(slices.Clone(out), '.')) // killed at once, it says nothing
	r.clean(t)
	if m.signal != syscall.SIGKILL {
		r.empty(t)
	}
	if tagged := r.tagged(t); tagged != want && (tagged != old || code == 0) {
		t.Errorf("the tag stands for %s: the old image is %s, the new one %s", tagged, old, want)
	}
	r.sound(t, want)
	r.clean(t)
	r.empty(t) // the next build cleans up after one that was killed
	if t.Failed() {
		m.mu.Lock()
		defer m.mu.Unlock()
		t.Logf("the signal was sent at: %q\n%s", m.seen[min(m.at, len(m.seen)-1)], out)
	}
}
