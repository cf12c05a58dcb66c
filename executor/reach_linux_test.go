package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// hostile prints all that it can find of the executor. Its last line shows that it got
// there, and could have printed the rest.
const hostile = `
RUN cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n'; \
  for p in /proc/[0-9]*; do while read -r range more; do \
    start=$(printf %d 0x${range%%-*}); dd if=$p/mem bs=4096 skip=$((start / 4096)) count=16 2>/dev/null | grep -ao 'pl[a]nted-[a-z]*'; done <$p/maps; done 2>/dev/null; \
  for p in /proc/[0-9]*; do cat $p/root/$FILE $p/cwd/$FILE; done; cat $FILE /kaniko/.docker/config.json /run/secrets/*; \
  find / -xdev -name '*pl[a]nted*' 2>/dev/null; mount -t tmpfs none /mnt && echo it is mounted; \
  mknod /disk b 8 0 && cat /disk && echo it is opened; echo the end is "reached"
`

// TestIsolated_reach: an isolated RUN as root finds nothing of the executor's environment,
// memory, command line and files, as docs/security.md promises.
func TestIsolated_reach(t *testing.T) {
	needNamespaces(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: without, it proves less")
	}
	executor, err := exec.LookPath("executor")
	if err != nil {
		t.Fatal(err)
	}
	base := shell(t, executor, registrytest.Real(t, registrytest.RealConfig{}))
	dir := t.TempDir()
	secret := filepath.Join(dir, "planted-file")
	write(t, secret, "planted-content", 0o644)
	context := filepath.Join(dir, "context")
	if err := os.Mkdir(context, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(context, "Dockerfile"), "FROM "+base+"\nARG FILE\nENV FILE=$FILE\n"+strings.TrimSpace(hostile)+"\n", 0o644)

	cmd := exec.CommandContext(t.Context(), executor, "--context="+context, "--isolation=namespaces", "--no-push",
		"--secret=id=one,src="+secret, "--secret=id=two,env=SECRET", "--build-arg=FILE="+strings.ReplaceAll(secret, "planted", "?lanted"), "--label=planted=planted-label")
	cmd.Env = []string{"HOME=" + dir, "KANIKO_DIR=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "SECRET=planted-secret", "AWS_SECRET_ACCESS_KEY=planted-key"}
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if !strings.Contains(string(said), "the end is reached") {
		t.Errorf("the command did not get to its end:\n%s", said)
	}
	for line := range strings.Lines(string(said)) {
		output := strings.HasPrefix(line, "[stage")
		if output && (strings.Contains(line, "planted") || strings.HasSuffix(line, " it is mounted\n") || strings.HasSuffix(line, " it is opened\n")) {
			t.Errorf("the command has found %q", line)
		}
	}
}
