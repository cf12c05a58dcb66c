package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// killedSpec has this test's process be one that uses a cache until it is killed.
const killedSpec = "KANIKO_TEST_CACHE"

const killedKeys = 5

// use puts and gets for ever. Each process makes entries of its own content under the
// keys that all have.
func use(t *testing.T, spec string) {
	place := in(t, spec, cache.Options{})
	fmt.Println("begun")
	for n := 0; ; n++ {
		r := result(t, fmt.Sprint("key", n%killedKeys), 50<<10)
		if err := place.Put(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		if err := place.Record(context.Background(), journal(t, n%3)); err != nil {
			t.Fatal(err)
		}
		if err := whole(place, r); err != nil {
			t.Fatal(err)
		}
	}
}

// whole is nil if there is all of an entry, or nothing.
func whole(place *cache.Place, r cache.Result) error {
	e, err := place.Get(context.Background(), r.Definition.Key())
	if err == cache.ErrMiss {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := place.Definition(context.Background(), e.Key); err != nil {
		return err
	}
	return errors.Join(failure(e.Layer.Uncompressed), failure(e.Index))
}

// TestKilled: builds that are killed at any moment leave whole entries, or none.
func TestKilled(t *testing.T) {
	if spec := os.Getenv(killedSpec); spec != "" {
		use(t, spec)
	}
	for name, spec := range map[string]string{
		"layout": "oci:" + t.TempDir(),
		"memory": registrytest.Start(t, registrytest.Config{}).Host() + "/cache",
	} {
		t.Run(name, func(t *testing.T) {
			place := in(t, spec, cache.Options{})
			for range 12 {
				kill(t, spec, 2)
				for k := range killedKeys {
					if err := whole(place, result(t, fmt.Sprint("key", k), 50<<10)); err != nil {
						t.Error(err)
					}
				}
				if _, err := place.Last(context.Background(), journal(t, 0).Lineage); err != nil && err != cache.ErrMiss {
					t.Error(err)
				}
			}
			// All can be made, and found, as if nothing had happened.
			for k := range killedKeys {
				r := result(t, fmt.Sprint("key", k), 50<<10)
				put(t, place, r)
				sameLayer(t, get(t, place, r.Definition.Key()), r)
			}
		})
	}
}

// kill starts some processes, and kills them in the midst of it.
func kill(t *testing.T, spec string, processes int) {
	t.Helper()
	var all []*exec.Cmd
	for range processes {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), killedSpec+"="+spec)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
	for _, cmd := range all {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("it ended by itself: %v", err)
		}
		if err := cmd.Wait(); cmd.ProcessState.Exited() {
			t.Errorf("it ended by itself: %v", err)
		}
	}
}
