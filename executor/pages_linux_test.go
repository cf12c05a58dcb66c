package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// A listing is a block of code of a page.
type listing struct {
	line     int // of its fence, from 1
	language string
	text     string
	not      string // why it is not run; empty if it is
}

// listings are a page's. What is run are those in sh, and of those in console the lines
// that begin with "$ ". A comment right before a listing that says
//
//	<!-- not run: REASON -->
//	<!-- run by TEST in DIRECTORY -->
//
// keeps it from that; shared/internal/floors looks whether there is such a test.
func listings(t *testing.T, page string) []listing {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "pages", page))
	if err != nil {
		t.Fatal(err)
	}
	excuse := regexp.MustCompile(`^<!-- (not run: .+|run by Test\w+ in [\w/]+) -->$`)
	var all []listing
	var open *listing
	before, fence := "", ""
	for i, line := range strings.Split(string(raw), "\n") {
		bare := strings.TrimSpace(line)
		switch {
		case open != nil && bare == fence:
			all, open, before = append(all, *open), nil, ""
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(bare, "```"):
			fence = "```"
			open = &listing{line: i + 1, language: strings.TrimPrefix(bare, fence)}
			if m := excuse.FindStringSubmatch(before); m != nil {
				open.not = m[1]
			} else if strings.HasPrefix(before, "<!--") {
				t.Errorf("%s:%d: %s says not why the listing is not run", page, i, before)
			}
		case bare != "":
			before = bare
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the listing has no end", page, open.line)
	}
	return all
}

// script is what a page's listings do, in one shell: each says at its beginning where it
// is, and a listing in console looks for what it promises in what its commands print.
func script(t *testing.T, page string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("set -euo pipefail\nsaid=$(mktemp)\ntrap 'rm \"$said\"' EXIT\n")
	run := 0
	for _, l := range listings(t, page) {
		switch {
		case l.language == "":
			t.Errorf("%s:%d: the listing names no language: sh is run, and so are the commands of console", page, l.line)
		case l.not != "":
			t.Logf("%s:%d: %s", page, l.line, l.not)
		case l.language == "sh":
			fmt.Fprintf(&b, "echo '@ %s:%d'\n%s", page, l.line, l.text)
			run++
		case l.language == "console":
			fmt.Fprintf(&b, "echo '@ %s:%d'\n%s", page, l.line, commands(t, page, l))
			run++
		}
	}
	if run == 0 {
		t.Errorf("nothing of %s is run", page)
	}
	return b.String()
}

// commands are those of a listing in console. Each goes on in the next line after a
// backslash; the lines that follow are a pattern of what it prints.
func commands(t *testing.T, page string, l listing) string {
	t.Helper()
	var b strings.Builder
	var command, promised []string
	flush := func() {
		if command == nil {
			return
		}
		// Not in a subshell, for it may change the directory.
		fmt.Fprintf(&b, "{ %s\n} >\"$said\" 2>&1 || { cat \"$said\"; exit 1; }\ncat \"$said\"\n", strings.Join(command, "\n"))
		if promised != nil {
			fmt.Fprintf(&b, "tr '\\n' '\\r' <\"$said\" | grep -qP '%s' || { echo 'this does not say what the page promises'; exit 1; }\n", pattern(promised))
		}
		command, promised = nil, nil
	}
	for _, line := range strings.Split(strings.TrimSuffix(l.text, "\n"), "\n") {
		words, prompt := strings.CutPrefix(line, "$ ")
		switch {
		case prompt:
			flush()
			command = []string{words}
		case command == nil:
			t.Errorf("%s:%d: a listing in console begins with a command", page, l.line)
		case promised == nil && strings.HasSuffix(command[len(command)-1], `\`):
			command = append(command, line)
		default:
			promised = append(promised, line)
		}
	}
	flush()
	return b.String()
}

// pattern is a regular expression for lines in which … stands for anything: within a line
// for the rest of a word or more, and alone for any lines.
func pattern(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		if strings.TrimSpace(line) == "…" {
			b.WriteString(`(.*\r)?`)
			continue
		}
		var parts []string
		for _, part := range strings.Split(line, "…") {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		b.WriteString(strings.Join(parts, `[^\r]*`) + `\r`)
	}
	return "(^|\\r)" + strings.ReplaceAll(b.String(), "'", `'\''`)
}

// perform runs a page's script in dir, with what it names replaced by what is here.
func perform(t *testing.T, page, dir string, env []string, here *strings.Replacer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", here.Replace(script(t, page)))
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "TMPDIR=" + os.TempDir()}, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("what stands after the last @ went wrong: %v\n%s", err, out.Bytes())
	}
}

// programs is a directory with the suite's.
func programs(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"executor", "warmer", "inspect", "cachegc"} {
		if err := os.Symlink(otherProgram(t, name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// shell is a base image with a shell, in a registry.
func shell(t *testing.T, executor, registry string) string {
	t.Helper()
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "busybox"), string(program), 0o755)
	write(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\nCOPY busybox /bin/\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n", 0o644)
	ref := registry + "/library/busybox:1.37"
	made(t, executor, "--context="+dir, "--destination="+ref)
	return ref
}

// made runs the executor.
func made(t *testing.T, executor string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), executor, args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "KANIKO_DIR=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("executor %q: %v\n%s", args, err, out)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func needNamespaces(t *testing.T) {
	t.Helper()
	choice, err := isolated.Choose(t.Context(), isolated.Auto, isolated.StateDirs(t.TempDir()))
	if err != nil || choice.Grant == nil {
		t.Skip("needs namespaces")
	}
}

// TestPages: what the README and the tutorial have people type does what they say.
func TestPages(t *testing.T) {
	needNamespaces(t)
	bin, registry := programs(t), registrytest.Real(t, registrytest.RealConfig{})
	base := shell(t, filepath.Join(bin, "executor"), registry)
	t.Run("readme", func(t *testing.T) { readme(t, bin, registry, base) })
	t.Run("tutorial", func(t *testing.T) { tutorial(t, bin, registry, base) })
}

// readme gives the README a build context, an image that was built twice, and their cache.
func readme(t *testing.T, bin, registry, base string) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Dockerfile"), "FROM "+base+"\nRUN echo made > /made\n", 0o644)
	if err := os.Symlink(bin, filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"1", "rebuilt"} {
		made(t, filepath.Join(bin, "executor"), "--context="+dir, "--destination="+registry+"/app:"+tag, "--cache")
	}
	perform(t, "README.md", dir, []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "KANIKO_DIR=" + t.TempDir()}, strings.NewReplacer(
		"registry.example.com", registry,
		"/kaniko/executor", "executor", // where the image has it
		"dir:///workspace", "dir://"+dir,
	))
}

// tutorial follows the tutorial from its first line to its last, with podman. That is
// given what a root can do that has not every capability.
func tutorial(t *testing.T, bin, registry, base string) {
	for _, program := range []string{"podman", "runc"} {
		if _, err := exec.LookPath(program); err != nil || os.Geteuid() != 0 {
			t.Skipf("needs root, and %s", program)
		}
	}
	store := t.TempDir()
	write(t, filepath.Join(store, "containers.conf"), fmt.Sprintf(`[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = %q
`, store+"/tmp"), 0o644)
	write(t, filepath.Join(store, "storage.conf"), fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", store+"/root", store+"/run"), 0o644)
	env := []string{"PATH=" + os.Getenv("PATH"), "CONTAINERS_CONF=" + store + "/containers.conf", "CONTAINERS_STORAGE_CONF=" + store + "/storage.conf"}
	for _, name := range []string{"executor", "warmer", "inspect", "cachegc"} {
		load(t, name, bin, env)
	}
	perform(t, "tutorial.md", t.TempDir(), env, strings.NewReplacer("localhost:5000", registry, "docker.io/library/busybox:1.37", base))
}

// load gives podman an image of one of the suite's programs.
func load(t *testing.T, name, bin string, env []string) {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(bin, name))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name), string(data), 0o755)
	write(t, filepath.Join(dir, "Dockerfile"), fmt.Sprintf("FROM scratch\nCOPY %s /kaniko/%[1]s\nWORKDIR /workspace\nENTRYPOINT [\"/kaniko/%[1]s\"]\n", name), 0o644)
	archive := filepath.Join(dir, "image.tar")
	made(t, filepath.Join(bin, "executor"), "--context="+dir, "--destination=localhost/kaniko/"+name+":latest", "--tarPath="+archive)
	cmd := exec.CommandContext(t.Context(), "podman", "load", "-i", archive)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("podman load: %v\n%s", err, out)
	}
}
