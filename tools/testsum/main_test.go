package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// bazelRun writes the build events of a run that ended with status exit, or did
// not end.
func bazelRun(t *testing.T, exit int, events ...string) string {
	file := filepath.Join(t.TempDir(), "events.json")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintln(f, `{"id":{"started":{}},"started":{"command":"test"}}`)
	for _, e := range events {
		fmt.Fprintln(f, e)
	}
	if exit >= 0 {
		fmt.Fprintf(f, `{"id":{"buildFinished":{}},"finished":{"exitCode":{"name":"CODE%d","code":%d}}}`+"\n", exit, exit)
	}
	return file
}

func result(dir, label, status, report string) string {
	return fmt.Sprintf(`{"id":{"testResult":{"label":%q,"run":1}},"testResult":{"status":%q,"testActionOutput":[`+
		`{"name":"test.log","uri":"file:///no/such/log"},{"name":"test.xml","uri":"file://%s/%s"}]}}`, label, status, dir, report)
}

const goodReport = `<testsuites><testsuite name="p">
	<testcase name="TestA"></testcase>
	<testcase name="TestB"></testcase><testcase name="TestB/x"></testcase>
	<testcase name="TestB/y"></testcase><testcase name="TestB/y/z"></testcase>
	<testcase name="TestC"><skipped message="Skipped">=== RUN   TestC
    a_test.go:7: needs
		root
--- SKIP: TestC (0.00s)
</skipped></testcase>
</testsuite></testsuites>`

const badReport = `<testsuites><testsuite name="p">
	<testcase name="TestA"></testcase>
	<testcase name="TestB"><failure message="Failed">x</failure></testcase>
	<testcase name="TestB/x"><failure message="Failed">x</failure></testcase>
	<testcase name="TestB/y"></testcase>
</testsuite></testsuites>`

const parentReport = `<testsuites><testsuite name="p">
	<testcase name="TestB"><failure message="Failed">x</failure></testcase>
	<testcase name="TestB/x"></testcase>
</testsuite></testsuites>`

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for name, xml := range map[string]string{"good": goodReport, "bad": badReport, "parent": parentReport, "none": "<testsuites></testsuites>"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(xml), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		exit   int
		events []string
		want   counts
		notes  []string
	}{
		"all good": {
			exit:   0,
			events: []string{result(dir, "//a:t", "PASSED", "good")},
			want:   counts{3, 0, 1},
			notes:  []string{"skipped //a:t TestC: a_test.go:7: needs root"},
		},
		"a failure": {
			exit:   3,
			events: []string{result(dir, "//a:t", "PASSED", "good"), result(dir, "//b:t", "FAILED", "bad")},
			want:   counts{5, 1, 1},
			notes:  []string{"skipped //a:t TestC: a_test.go:7: needs root", "FAILED //b:t TestB/x"},
		},
		"a failure after sub-tests": {
			exit:   3,
			events: []string{result(dir, "//b:t", "FAILED", "parent")},
			want:   counts{1, 1, 0},
			notes:  []string{"FAILED //b:t TestB"},
		},
		"a crash": {
			exit:   3,
			events: []string{result(dir, "//a:t", "TIMEOUT", "none")},
			want:   counts{0, 1, 0},
			notes:  []string{"FAILED //a:t: TIMEOUT"},
		},
		"does not build": {
			exit:   1,
			events: []string{`{"id":{"targetCompleted":{"label":"//a:t"}},"completed":{"success":false}}`, `{"id":{"targetCompleted":{"label":"//a:u"}},"completed":{"success":true}}`},
			want:   counts{0, 1, 0},
			notes:  []string{"FAILED //a:t does not build"},
		},
		"is not understood": {
			exit:   1,
			events: []string{`{"id":{"targetConfigured":{"label":"//a:t"}},"aborted":{"reason":"ANALYSIS_FAILURE"}}`},
			want:   counts{0, 1, 0},
			notes:  []string{"FAILED //a:t: ANALYSIS_FAILURE"},
		},
		"bad command line": {
			exit:  2,
			want:  counts{0, 1, 0},
			notes: []string{"FAILED bazel: CODE2"},
		},
		"killed": {
			exit:   -1,
			events: []string{result(dir, "//a:t", "PASSED", "parent")},
			want:   counts{1, 2, 0},
			notes:  []string{"FAILED //a:t TestB", "FAILED bazel did not finish"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(bazelRun(t, test.exit, test.events...))
			if err != nil {
				t.Fatal(err)
			}
			if got.counts != test.want || !slices.Equal(got.notes, test.notes) {
				t.Errorf("got %+v, want %+v, %q", got, test.want, test.notes)
			}
		})
	}
}

func TestRead_errors(t *testing.T) {
	if _, err := read(t.TempDir()); err == nil {
		t.Error("no error for a directory")
	}
	missing := result("/no/such/directory", "//a:t", "PASSED", "report")
	if _, err := read(bazelRun(t, 0, missing)); err == nil {
		t.Error("no error without a report")
	}
	if _, err := read(bazelRun(t, 0, `{"id": [`)); err == nil {
		t.Error("no error for broken events")
	}
}

func TestRead_notStarted(t *testing.T) {
	got, err := read(filepath.Join(t.TempDir(), "missing"))
	if err != nil || got.counts != (counts{0, 1, 0}) {
		t.Errorf("got %+v, %v; want one failure", got, err)
	}
}

func TestCounts_String(t *testing.T) {
	for want, c := range map[string]counts{
		"3 passed, 0 failed":            {3, 0, 0},
		"3 passed, 1 failed, 2 skipped": {3, 1, 2},
	} {
		if got := c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
