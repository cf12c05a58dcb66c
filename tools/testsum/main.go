// Command testsum counts the tests of a `bazel test` run and prints one line:
//
//	N passed, N failed, N skipped
//
// It reads the file that Bazel wrote for --build_event_json_file, and the JUnit
// report of each test target which that names, from a cache or not. A test that
// has sub-tests is counted through them. Whatever Bazel calls failed and has no
// failing test in a report (it did not build, it crashed, it ran out of time)
// counts as one failed test. The status is 1 if anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: testsum BUILD-EVENT-FILE")
		os.Exit(2)
	}
	sum, err := read(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	}
	for _, line := range sum.notes {
		fmt.Println(line)
	}
	fmt.Println(sum.counts)
	if sum.failed > 0 {
		os.Exit(1)
	}
}

type counts struct{ passed, failed, skipped int }

func (c counts) String() string {
	s := fmt.Sprintf("%d passed, %d failed", c.passed, c.failed)
	if c.skipped > 0 {
		s += fmt.Sprintf(", %d skipped", c.skipped)
	}
	return s
}

type summary struct {
	counts
	notes []string // what failed or was skipped
}

// event is what is used of Bazel's build events.
type event struct {
	ID struct {
		TestResult       *struct{ Label string }
		TargetCompleted  *struct{ Label string }
		TargetConfigured *struct{ Label string }
	}
	TestResult *struct {
		Status           string
		TestActionOutput []struct{ Name, URI string }
	}
	Completed *struct{ Success bool }
	Finished  *struct {
		ExitCode struct {
			Name string
			Code int
		}
	}
	Aborted *struct{ Reason, Description string }
}

const (
	bazelOK          = 0
	bazelTestsFailed = 3
)

func read(name string) (*summary, error) {
	sum, finished := &summary{}, false
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		sum.fail("bazel did not start")
		return sum, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	decoder := json.NewDecoder(bufio.NewReader(f))
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		switch {
		case e.TestResult != nil && e.ID.TestResult != nil:
			if err := sum.target(e); err != nil {
				return nil, err
			}
		case e.Completed != nil && e.ID.TargetCompleted != nil && !e.Completed.Success:
			sum.fail(e.ID.TargetCompleted.Label + " does not build")
		case e.Aborted != nil && e.ID.TargetConfigured != nil:
			sum.fail(fmt.Sprintf("%s: %s", e.ID.TargetConfigured.Label, e.Aborted.Reason))
		case e.Finished != nil:
			finished = true
			if code := e.Finished.ExitCode; code.Code != bazelOK && code.Code != bazelTestsFailed && sum.failed == 0 {
				sum.fail("bazel: " + code.Name)
			}
		}
	}
	if !finished {
		sum.fail("bazel did not finish")
	}
	return sum, nil
}

func (s *summary) fail(why string) {
	s.failed++
	s.notes = append(s.notes, "FAILED "+why)
}

// target adds the report of one run of a test target.
func (s *summary) target(e event) error {
	label, ok := e.ID.TestResult.Label, e.TestResult.Status == "PASSED"
	before := s.failed
	for _, out := range e.TestResult.TestActionOutput {
		if out.Name != "test.xml" {
			continue
		}
		at, err := url.Parse(out.URI)
		if err != nil || at.Scheme != "file" {
			return fmt.Errorf("%s: its report is at %q, not in a file", label, out.URI)
		}
		data, err := os.ReadFile(at.Path)
		if err != nil {
			return err
		}
		if err := s.report(label, data); err != nil {
			return fmt.Errorf("%s: %w", at.Path, err)
		}
	}
	if !ok && s.failed == before {
		s.fail(fmt.Sprintf("%s: %s", label, e.TestResult.Status))
	}
	return nil
}

// suite is a JUnit report, or a part of one.
type suite struct {
	Suites []suite    `xml:"testsuite"`
	Cases  []testCase `xml:"testcase"`
}

type testCase struct {
	Name    string    `xml:"name,attr"`
	Failure *struct{} `xml:"failure"`
	Error   *struct{} `xml:"error"`
	Skipped *struct {
		Text string `xml:",chardata"`
	} `xml:"skipped"`
}

func (s *summary) report(label string, data []byte) error {
	var root suite
	if err := xml.Unmarshal(data, &root); err != nil {
		return err
	}
	s.suite(label, root)
	return nil
}

func (s *summary) suite(label string, in suite) {
	for _, inner := range in.Suites {
		s.suite(label, inner)
	}
	parents := map[string]bool{} // tests that have sub-tests
	for _, test := range in.Cases {
		for i, r := range test.Name {
			if r == '/' {
				parents[test.Name[:i]] = true
			}
		}
	}
	ownFailures := s.failed
	for _, test := range in.Cases {
		switch {
		case parents[test.Name]:
		case test.Failure != nil || test.Error != nil:
			s.fail(label + " " + test.Name)
		case test.Skipped != nil:
			s.skipped++
			s.notes = append(s.notes, "skipped "+label+" "+test.Name+": "+reason(test.Skipped.Text))
		default:
			s.passed++
		}
	}
	if s.failed > ownFailures {
		return
	}
	// A test may fail by itself, after all its sub-tests went well.
	for _, test := range in.Cases {
		if parents[test.Name] && (test.Failure != nil || test.Error != nil) {
			s.fail(label + " " + test.Name)
		}
	}
}

// reason is what a skipped test said, out of the lines of its log.
func reason(log string) string {
	var said []string
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}
