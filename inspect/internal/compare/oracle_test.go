package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// update writes the table of what others see into docs/inspect.md.
var update = flag.Bool("update", false, "write the table in docs/inspect.md anew")

// judge is another program that compares images.
type judge struct {
	program string
	path    string
	trusts  string // the certificate of the authority that it knows
}

// findJudge finds a program that tools/fixtures/build.sh has built.
func findJudge(t *testing.T, program string) judge {
	t.Helper()
	path, err := servertest.Fixture(program)
	if err != nil {
		t.Skipf("%s is not built (tools/fixtures/build.sh %s)", program, program)
	}
	return judge{program: program, path: path}
}

// run runs the program, and returns its status and what it printed.
func (j judge) run(t *testing.T, args ...string) (int, []byte) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), j.path, args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "TMPDIR="+home, "DOCKER_CONFIG="+home)
	if j.trusts != "" {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+j.trusts)
	}
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() > 0 && out.Len() == 0 {
		text := strings.TrimSpace(log.String())
		t.Logf("%s: %s", j.program, text[strings.LastIndexByte(text, '\n')+1:])
	}
	return cmd.ProcessState.ExitCode(), out.Bytes()
}

// The verdicts of others.
const (
	sees    = "different"
	misses  = "**equal**"
	fails   = "**error**"
	skipped = "equal" // where it is told to ignore it, and that is right
)

// diffoci asks diffoci; status 1 is its word for different.
func (j judge) diffoci(t *testing.T, a, b string, flags ...string) string {
	args := append([]string{"diff", "--backend", "local", "--local-cache", t.TempDir(), "--pull", "always", "--platform", "linux/arm64"}, flags...)
	switch code, out := j.run(t, append(args, a, b)...); {
	case code == 0:
		return misses
	case code == 1 && len(out) > 0: // with nothing to show it is an error
		return sees
	}
	return fails
}

// containerDiff asks container-diff, which ends in status 0 whatever it sees.
func (j judge) containerDiff(t *testing.T, a, b string) string {
	code, out := j.run(t, "diff", "--no-cache", "--quiet", "--json", "--type=file", "--type=metadata", "--type=history", "remote://"+a, "remote://"+b)
	var all []struct {
		Diff json.RawMessage
	}
	if code != 0 || json.Unmarshal(out, &all) != nil {
		return fails
	}
	for _, d := range all {
		var lists map[string][]json.RawMessage
		if err := json.Unmarshal(d.Diff, &lists); err != nil {
			return fails
		}
		for _, list := range lists {
			if len(list) > 0 {
				return sees
			}
		}
	}
	return misses
}

// TestOracle has diffoci and container-diff compare the sample with each planted
// difference. What they see we see as well; what diffoci, told to ignore what does not
// matter, calls different or equal, so does the preset semantic, but for what is listed
// with a reason. What they miss is a table in docs/inspect.md.
func TestOracle(t *testing.T) {
	diffoci, containerDiff := findJudge(t, "diffoci"), findJudge(t, "container-diff")
	// diffoci has no way to say that a registry speaks plain HTTP, and container-diff none
	// to say that one of this machine does not.
	authority := registrytest.NewAuthority(t)
	diffoci.trusts = authority.File
	host := registrytest.Start(t, registrytest.Config{Certificate: authority.Issue(t, "127.0.0.1")}).Host()
	plain := registrytest.Start(t, registrytest.Config{}).Host()
	client := registry.New(registry.Config{Options: registry.Options{SkipTLSVerify: true}})
	push := func(name string, img v1.Image) (secure, open string) {
		for _, at := range []string{host, plain} {
			ref, err := client.Tag(at + "/" + name)
			if err == nil {
				err = client.PushImage(t.Context(), ref, img)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return host + "/" + name, plain + "/" + name
	}
	original, openly := push("original:1", sample().image(t))
	for name, v := range map[string]string{
		"diffoci": diffoci.diffoci(t, original, original), "container-diff": containerDiff.containerDiff(t, openly, openly),
	} {
		if v != misses {
			t.Errorf("%s finds the sample %s from itself", name, v)
		}
	}
	var table strings.Builder
	table.WriteString("| planted | diffoci | diffoci --semantic | container-diff | ours | ours, semantic |\n|---|---|---|---|---|---|\n")
	for i, p := range plants() {
		changed := sample()
		p.change(changed)
		img := changed.image(t)
		other, too := push(fmt.Sprintf("planted:%d", i), img)
		strict, semantic, files := diffoci.diffoci(t, original, other), diffoci.diffoci(t, original, other, "--semantic"), containerDiff.containerDiff(t, openly, too)
		ours, _ := found(t, sample().image(t), img, Options{Level: Files})
		lenient, _ := found(t, sample().image(t), img, Options{Level: Files, Preset: Semantic})
		if ours.Verdict != Different {
			t.Errorf("%s: ours is %s", p.name, ours.Verdict)
		}
		equal := lenient.Verdict == Equal
		if why := disagreements()[p.name]; (semantic == misses) != equal && semantic != fails && why == "" {
			t.Errorf("%s: diffoci --semantic finds %s, ours %s", p.name, semantic, lenient.Verdict)
		}
		if equal && semantic == misses {
			semantic = skipped
		}
		word := sees
		if equal {
			word = skipped
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %s |\n", p.name, strict, semantic, files, sees, word)
	}
	commandtest.CheckSection(t, "testdata/inspect.md", "oracle", table.String(), *update)
}

// disagreements are the planted differences of which the preset semantic and diffoci
// --semantic say different things, and why ours is meant.
func disagreements() map[string]string {
	names := "names of owners mean nothing in a container, whose files have numbers"
	form := "records that no file system keeps"
	packed := "the archive is the same, byte for byte"
	parts := "diffoci ignores the history by comparing all layers as one; --squash does"
	unread := "it reads the configuration into a type that has no such field"
	return map[string]string{
		"uname": names, "gname": names, "a PAX record": form, "a comment in a PAX record": form, "a global PAX header": form,
		"recompressed with zstd": packed, "not compressed": packed, "a split layer": parts,
		"a health check": unread, "a field that nobody knows": unread,
	}
}
