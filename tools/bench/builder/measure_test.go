package builder

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "measure" {
		if err := Measure(os.Args[2:]); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

func measureShell(t *testing.T, script string) Sample {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	out := filepath.Join(t.TempDir(), "sample")
	if b, err := exec.Command(os.Args[0], "measure", out, sh, sh, "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var s Sample
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMeasure_orphan(t *testing.T) {
	// The loop belongs to a grandchild whose parent is gone at once: only a reaper sees its time.
	s := measureShell(t, `(sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done' &) ; sleep 0.1`)
	if s.CPU < 0.05 {
		t.Errorf("CPU %.3f s: the orphan's time is missing", s.CPU)
	}
	if s.Wall < 0.1 {
		t.Errorf("wall %.3f s", s.Wall)
	}
}

func TestMeasure_peaks(t *testing.T) {
	// 60 MB in a child that is not the builder's own binary.
	s := measureShell(t, `dd if=/dev/zero of=/dev/null bs=60M count=2 2>/dev/null; sleep 0.1`)
	if s.Largest < 60<<20 {
		t.Errorf("largest process %d bytes, want dd's 60 MB", s.Largest)
	}
	if s.Own == 0 || s.Own > 20<<20 {
		t.Errorf("own process %d bytes, want the shell's", s.Own)
	}
}

func TestMeasure_status(t *testing.T) {
	if s := measureShell(t, "exit 7"); s.Exit != 7 {
		t.Errorf("status %d, want 7", s.Exit)
	}
	if s := measureShell(t, "kill -9 $$"); s.Exit != 137 {
		t.Errorf("status %d, want 137", s.Exit)
	}
}
