package timeline

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// MaxSamples is how many samples of memory are kept. A build of which there would
	// be more is looked at half as often, and of every two that there are the larger
	// stays.
	MaxSamples = 512
	// sampling is how often a build is looked at in its beginning.
	sampling = 250 * time.Millisecond
)

// Memory is how much was in use, in bytes.
type Memory struct {
	Samples []Sample // in the order of time
	// Peak is the most that was resident of this process at once, as Linux says it;
	// of the other processes of the build it says nothing.
	Peak int64
	// Group is the most of the control group that the process is in, commands of RUN
	// and caches of files with it, that a sample saw; 0 if that is not to be read.
	Group int64
}

// Sample is the memory at a time.
type Sample struct {
	At             time.Duration // since the build began
	Process, Group int64         // bytes; 0 if that is not known
}

// sampler looks at memory again and again.
type sampler struct {
	now   func() time.Duration
	group string // a file, empty without
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	samples []Sample
	every   int // looks for a sample
	looks   int
	next    Sample // the largest of the looks since the last sample
	most    int64  // of the group
}

func newSampler(now func() time.Duration) *sampler {
	s := &sampler{now: now, group: groupFile(), stop: make(chan struct{}), done: make(chan struct{}), every: 1}
	s.look()
	go s.watch()
	return s
}

func (s *sampler) watch() {
	defer close(s.done)
	ticker := time.NewTicker(sampling)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.look()
		case <-s.stop:
			s.look()
			return
		}
	}
}

func (s *sampler) close() {
	s.once.Do(func() { close(s.stop) })
	<-s.done
}

func (s *sampler) memory() Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Memory{Samples: append([]Sample{}, s.samples...), Peak: peak(), Group: s.most}
}

func (s *sampler) look() {
	one := Sample{At: s.now(), Process: resident(), Group: number(s.group)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(one)
}

// add takes what one look saw.
func (s *sampler) add(one Sample) {
	if one.Process == 0 && one.Group == 0 {
		return
	}
	s.most = max(s.most, one.Group)
	s.next = larger(s.next, one)
	if s.looks++; s.looks < s.every {
		return
	}
	s.samples = append(s.samples, s.next)
	s.looks, s.next = 0, Sample{}
	if len(s.samples) == MaxSamples {
		for i := range MaxSamples / 2 {
			s.samples[i] = larger(s.samples[2*i], s.samples[2*i+1])
		}
		s.samples = s.samples[:MaxSamples/2]
		s.every *= 2
	}
}

// larger has the most of both, at the time of the later.
func larger(a, b Sample) Sample {
	return Sample{At: max(a.At, b.At), Process: max(a.Process, b.Process), Group: max(a.Group, b.Group)}
}

// resident is the memory of this process in bytes (proc(5), statm); 0 if it is not
// known.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

// peak is the most that resident was (proc(5), status, VmHWM).
func peak() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if kilobytes, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kilobytes), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}

// groupFile is where Linux tells the memory of this process's control group, of
// version 2 or 1; empty if there is none, as for the group of all processes.
func groupFile() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(strings.TrimSpace(string(text))) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		path := ""
		switch {
		case parts[1] == "":
			path = filepath.Join("/sys/fs/cgroup", parts[2], "memory.current")
		case parts[1] == "memory":
			path = filepath.Join("/sys/fs/cgroup/memory", parts[2], "memory.usage_in_bytes")
		}
		if number(path) > 0 {
			return path
		}
	}
	return ""
}

// number reads a file with one number in it; 0 without.
func number(path string) int64 {
	if path == "" {
		return 0
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}
