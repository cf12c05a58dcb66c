package timeline

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// However long a build takes, the samples are bounded, span all of it, and have its
// peak.
func TestSampler_thins(t *testing.T) {
	s := &sampler{every: 1}
	const looks = 100_000
	for i := range looks {
		one := Sample{At: time.Duration(i) * sampling, Process: 10, Group: 20}
		if i == 777 {
			one.Process, one.Group = 1000, 2000
		}
		s.add(one)
		if len(s.samples) >= MaxSamples {
			t.Fatalf("%d samples", len(s.samples))
		}
	}
	if len(s.samples) < MaxSamples/4 {
		t.Errorf("only %d samples are left", len(s.samples))
	}
	var most Sample
	last := time.Duration(-1)
	for _, one := range s.samples {
		if one.At <= last {
			t.Errorf("%v after %v", one.At, last)
		}
		last = one.At
		most = larger(most, one)
	}
	if most.Process != 1000 || most.Group != 2000 || s.most != 2000 {
		t.Errorf("peak %+v, %d", most, s.most)
	}
	if last < looks*sampling*9/10 {
		t.Errorf("the last sample is at %v", last)
	}
}

func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip("needs /proc")
	}
	r := New(time.Now())
	r.Close()
	m := r.Timeline().Memory
	if len(m.Samples) < 2 { // at the beginning and at the end
		t.Fatalf("%d samples", len(m.Samples))
	}
	// A test's process has megabytes, and not gigabytes.
	if n := m.Samples[0].Process; n < 1<<20 || n > 4<<30 || m.Peak < n/2 {
		t.Errorf("resident %d, peak %d", n, m.Peak)
	}
}
