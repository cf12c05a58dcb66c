package warm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/warmer/internal/warm"
)

// kills is the variable that says how often TestKilled kills; a few times without.
const kills = "KANIKO_CHAOS_KILLS"

// noMounts is the status of a child that could not mount.
const noMounts = 3

var errMount = errors.New("mount read-only")

// Variables of a child, which is the test itself started anew.
const (
	childTask = "WARM_TEST_CHILD"
	childDir  = "WARM_TEST_DIR"
	childRefs = "WARM_TEST_REFS"
)

func TestMain(m *testing.M) {
	tasks := map[string]func(ctx context.Context, dir string, images []warm.Image) error{"warm": warmForever, "read only": readOnly}
	if task, ok := tasks[os.Getenv(childTask)]; ok {
		var images []warm.Image
		for _, ref := range strings.Fields(os.Getenv(childRefs)) {
			images = append(images, warm.Image{Ref: ref, Platform: amd64})
		}
		if err := task(context.Background(), os.Getenv(childDir), images); err != nil {
			fmt.Fprintln(os.Stderr, err)
			if errors.Is(err, errMount) {
				os.Exit(noMounts)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(task, dir string, images []warm.Image) *exec.Cmd {
	c := exec.Command(os.Args[0])
	var refs []string
	for _, i := range images {
		refs = append(refs, i.Ref)
	}
	c.Env = append(os.Environ(), childTask+"="+task, childDir+"="+dir, childRefs+"="+strings.Join(refs, " "))
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// warmForever warms, and removes again, until it is killed.
func warmForever(ctx context.Context, dir string, images []warm.Image) error {
	s, err := base.CreateStore(dir)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		c := config(s)
		c.Force = n%3 == 1
		results, err := warm.Run(ctx, c, images)
		if err != nil {
			return err
		}
		keep := base.Retention{MaxBytes: 1_500_000, Keep: map[v1.Hash]bool{results[rand.N(len(results))].Digest: true}}
		if n%2 == 1 {
			_, err = s.Evict(ctx, keep, time.Now().Add(time.Hour))
		}
		if err == nil {
			_, err = warm.Tidy(ctx, s, 0, results, time.Now())
		}
		if err != nil {
			return err
		}
	}
}

// Two warmers are killed at random moments, while tags move and builds read. No build
// notices, and all that is named is whole. KANIKO_CHAOS_KILLS=100 takes longer.
func TestKilled(t *testing.T) {
	rounds := 5
	if said := os.Getenv(kills); said != "" {
		var err error
		if rounds, err = strconv.Atoi(said); err != nil {
			t.Fatal(err)
		}
	}
	server := registrytest.Start(t, registrytest.Config{})
	shared := makeLayer(t)
	dir := t.TempDir()
	var images []warm.Image
	for n := range 4 {
		at := fmt.Sprintf("app:%d", n)
		push(t, server.Host(), at, makeImage(t, amd64, shared))
		images = append(images, warm.Image{Ref: server.Host() + "/" + at, Platform: amd64})
	}
	stop := readAllTheTime(t, dir, images)
	defer stop()
	for n := range rounds {
		first, second := child("warm", dir, images), child("warm", dir, images)
		for _, c := range []*exec.Cmd{first, second} {
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(rand.N(400 * time.Millisecond))
		for _, c := range []*exec.Cmd{first, second} {
			if err := c.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := c.Wait(); c.ProcessState.Exited() {
				t.Errorf("a warmer ended by itself: %v", err)
			}
			checkAll(t, dir)
			checkOffline(t, dir, images)
		}
		push(t, server.Host(), fmt.Sprintf("app:%d", n%len(images)), makeImage(t, amd64, shared))
		if t.Failed() {
			t.Fatalf("after %d of %d rounds", n+1, rounds)
		}
	}
}

// readAllTheTime is builds that take images from the directory, or else from the
// registry, until stop is called.
func readAllTheTime(t *testing.T, dir string, images []warm.Image) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newStore(t, dir)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			c := &base.Cached{Store: s, Next: base.Remote{Client: newClient()}, Warn: func(text string) {
				if ctx.Err() == nil {
					t.Error(text)
				}
			}}
			if _, err := read(ctx, c, images[n%len(images)]); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// checkOffline takes what is there without the registry: whole, or not at all.
func checkOffline(t *testing.T, dir string, images []warm.Image) {
	t.Helper()
	s := newStore(t, dir)
	release, err := s.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, i := range images {
		if _, err := read(t.Context(), offline(s), i); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", i, err)
		}
	}
}

// A directory that cannot be written to serves builds, and stays as it is.
func TestReadOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	server := registrytest.Start(t, registrytest.Config{})
	push(t, server.Host(), "app:1", makeImage(t, amd64))
	dir := t.TempDir()
	images := []warm.Image{{Ref: server.Host() + "/app:1", Platform: amd64}}
	if _, err := warm.Run(t.Context(), config(newStore(t, dir)), images); err != nil {
		t.Fatal(err)
	}
	c := child("read only", dir, images)
	c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	if err := c.Start(); errors.Is(err, syscall.EPERM) {
		t.Skip("mount namespaces are not granted")
	} else if err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	if c.ProcessState.ExitCode() == noMounts {
		t.Skip("mounts are not granted")
	}
	if err != nil {
		t.Error(err)
	}
}

func readOnly(ctx context.Context, dir string, images []warm.Image) error {
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount(dir, dir, "", syscall.MS_BIND, "")
	}
	if err == nil {
		err = syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	}
	if err != nil {
		return errors.Join(errMount, err)
	}
	s, err := base.OpenStore(dir)
	if err != nil {
		return err
	}
	cached := offline(s)
	for _, cached.Offline = range []bool{true, false} {
		if _, err := read(ctx, cached, images[0]); err != nil {
			return err
		}
	}
	if _, err := warm.Run(ctx, config(s), images); !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("warmed a directory that is read-only: %w", err)
	}
	return nil
}
