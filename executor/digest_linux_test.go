package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
)

// digestCase has stages that work at once, files that are compressed in several pieces,
// many small ones, and all ways by which files come into an image.
const digestCase = `One digest.
-- Dockerfile --
FROM {{base}} AS compile
WORKDIR /src
COPY src .
RUN yes compile | head -c 5000000 > out && for i in $(seq 1 100); do echo $i > small$i; done
FROM {{base}} AS other
RUN seq 1 200000 > /up && ln /up /hard && ln -s up /link
FROM {{base}}
ENV A=b
RUN yes app | head -c 2500000 > /app && rm /etc/profile && mkdir -p /d/e && echo x > /d/e/f && chown 7:8 /d
COPY --from=compile /src /copied
COPY --from=other --chown=5:6 / /other/
COPY src /etc/src
ADD --chmod=600 src/main /added/
LABEL c=d
CMD ["/app/out"]
-- context/src/main --
main
-- context/src/deep/file --
file
`

// machine is what may differ where a build takes place.
type machine struct {
	driver string
	cpus   int
	flags  []string
	cached string // a cache that has all of it, or nothing yet
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d CPUs, %q, %s", m.driver, m.cpus, m.flags, m.cached)
}

// TestOneDigest: one Dockerfile gives one digest, whatever the number of CPUs, by each
// driver, with an empty cache and with a full one, with each compression; and the layers of
// the base stay what they are.
func TestOneDigest(t *testing.T) {
	site, drivers := digestSite(t)
	for _, compression := range []string{"gzip", "zstd", "estargz"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			var want v1.Hash
			var first machine
			for _, driver := range drivers {
				for _, cpus := range []int{1, 2, 8} {
					repo := fmt.Sprintf("%s/cache/%s/%s%d", site.Registry(), strings.ReplaceAll(compression, ":", "-"), driver, cpus)
					for _, cached := range []string{"cold", "cached"} {
						m := machine{driver, cpus, []string{"--compression=" + compression, "--cache", "--cache-repo=" + repo}, cached}
						b := m.build(t, site)
						got := digestOf(t, b)
						if want == (v1.Hash{}) {
							want, first = got, m
							checkBase(t, b, site.Registry())
						}
						if got != want {
							t.Errorf("%s comes to %s, and %s to %s", m, got, first, want)
						}
					}
				}
			}
		})
	}
}

// TestOneDigest_machines: with --reproducible it is the same at another time, in another
// time zone, with another umask, from files that another checkout has left.
func TestOneDigest_machines(t *testing.T) {
	site, drivers := digestSite(t)
	for _, compression := range []string{"gzip"} {
		var digests []v1.Hash
		for _, driver := range drivers {
			for i, zone := range []string{"UTC", "Asia/Tokyo"} {
				m := machine{driver, 1 + i, []string{"--compression=" + compression, "--reproducible"}, "cold"}
				stamp := time.Date(2001+20*i, 2, 3, 4, 5, 6, 7, time.UTC)
				err := filepath.WalkDir(filepath.Join(site.Dir, "context"), func(path string, _ os.DirEntry, err error) error {
					if err != nil {
						return err
					}
					return os.Chtimes(path, stamp, stamp)
				})
				if err != nil {
					t.Fatal(err)
				}
				b := m.build(t, site)
				b.Env = slices.DeleteFunc(b.Env, func(v string) bool { return v == fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch) })
				b.Env = append(b.Env, "TZ="+zone, "HOSTNAME=host"+zone, "LANG=C")
				digests = append(digests, digestOf(t, b))
			}
		}
		if len(slices.Compact(slices.Clone(digests))) != 1 {
			t.Errorf("%s: the images are %v", compression, digests)
		}
	}
}

// digestSite lays the case out, and says by which drivers it can be built here.
func digestSite(t *testing.T) (*conformance.Built, []string) {
	t.Helper()
	if _, err := os.Stat(conformance.Busybox); err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	var drivers []string
	choice, err := isolated.Choose(t.Context(), isolated.Auto, isolated.StateDirs(t.TempDir()))
	if err == nil && choice.Grant != nil {
		drivers = append(drivers, "isolated")
	}
	if os.Geteuid() == 0 {
		drivers = append(drivers, "in-place")
	}
	if len(drivers) < 2 {
		t.Skipf("only %q of the two drivers can be used here", drivers)
	}
	site, err := conformance.Open(t.Context(), registrytest.Start(t, registrytest.Config{}).Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	file := filepath.Join(t.TempDir(), "001-digest.txtar")
	if err := os.WriteFile(file, []byte(digestCase), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := conformance.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	built, err := site.Lay(t.Context(), c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return built, drivers
}

// build is the case's build on such a machine.
func (m machine) build(t *testing.T, c *conformance.Built) build {
	t.Helper()
	var b build
	if m.driver == "isolated" {
		b = isolatedCommand(t, c, append([]string{"--isolation=namespaces"}, m.flags...)...)
	} else {
		b = inPlaceCommand(t, c, sandboxtest.StaticBinary(t))
		b.Args = append(b.Args, m.flags...)
	}
	b.Env = append(b.Env, fmt.Sprintf("GOMAXPROCS=%d", m.cpus))
	return b
}

// checkBase finds out whether the layers of the base are in the image byte by byte.
func checkBase(t *testing.T, b build, host string) {
	t.Helper()
	ref, err := name.ParseReference(host+"/conformance/"+conformance.BuiltIn, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	base, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	want, made := layerDigests(t, base), layerDigests(t, image(t, b.layout))
	if len(want) == 0 || len(made) <= len(want) || !slices.Equal(want, made[:len(want)]) {
		t.Errorf("the image has the layers %v, its base %v", made, want)
	}
}

func layerDigests(t *testing.T, img v1.Image) []v1.Hash {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var all []v1.Hash
	for _, l := range m.Layers {
		all = append(all, l.Digest)
	}
	return all
}
