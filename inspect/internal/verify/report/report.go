// Package report writes what a verification found: as a table, as JSON that is fit to be
// the predicate of an attestation, as Markdown for a comment, or as JUnit's XML. It
// decides nothing; the same report gives the same bytes.
package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/inspect/internal/verify"
)

// The forms of a report.
const (
	Table    = "table"
	JSON     = "json"
	Markdown = "markdown"
	JUnit    = "junit"
)

// Forms are the names that [Write] knows.
func Forms() []string { return []string{Table, JSON, Markdown, JUnit} }

// Write writes a report in one of the forms.
func Write(w io.Writer, form string, r *verify.Report) error {
	var text string
	var err error
	switch form {
	case Table:
		text = table(r)
	case JSON:
		if err := output.WriteJSON(w, r); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		return nil
	case Markdown:
		text = markdown(r)
	case JUnit:
		text, err = junit(r)
	default:
		err = fmt.Errorf("%q is no form of a report: it must be one of %s", form, strings.Join(Forms(), ", "))
	}
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// summary is the verdict in a sentence.
func summary(r *verify.Report) string {
	s := fmt.Sprintf("%s: %d of %d checks passed", r.Verdict, r.Passed, len(r.Checks))
	if r.Failed > 0 {
		s += fmt.Sprintf(", %d failed", r.Failed)
	}
	if r.Skipped > 0 {
		s += fmt.Sprintf(", %d skipped", r.Skipped)
	}
	return s
}

// maxDetail bounds, in characters, what a table has of a check.
const maxDetail = 300

// detail is why a check did not pass, or else what it saw.
func detail(c verify.Check) string {
	if c.Reason != "" {
		return c.Reason
	}
	var all []string
	for _, f := range c.Evidence {
		all = append(all, f.Name+" "+f.Value)
	}
	return strings.Join(all, ", ")
}

func table(r *verify.Report) string {
	var b strings.Builder
	for _, s := range r.Subjects {
		fmt.Fprintf(&b, "%s  %s\n", output.Plain(s.Name), s.Digest)
		rows := output.NewRows("RESULT", "CHECK", "PLATFORM", "EVIDENCE")
		for _, c := range r.Checks {
			if c.Subject == s.Name {
				rows.Add(c.Result, c.Check, c.Platform, output.Clip(output.Short(detail(c)), maxDetail))
			}
		}
		b.WriteString(rows.String() + "\n")
	}
	return b.String() + summary(r) + "\n"
}

// maxMarkdown bounds the report, in bytes: comments on GitHub have 65,536 characters at
// most.
const maxMarkdown = 60_000

func markdown(r *verify.Report) string {
	mark := map[string]string{verify.Pass: "✅", verify.Fail: "❌", verify.Skip: "⏭️"}
	var b strings.Builder
	fmt.Fprintf(&b, "### %s %s\n", mark[r.Verdict], escape(summary(r)))
	for n, s := range r.Subjects {
		fmt.Fprintf(&b, "\n<code>%s</code> <code>%s</code>\n\n| | check | platform | evidence |\n|---|---|---|---|\n", escape(s.Name), s.Digest)
		for i, c := range r.Checks {
			if c.Subject != s.Name {
				continue
			}
			row := fmt.Sprintf("| %s | %s | %s | %s |\n", mark[c.Result], escape(c.Check), escape(c.Platform), escape(output.Clip(detail(c), maxDetail)))
			if b.Len()+len(row) > maxMarkdown {
				fmt.Fprintf(&b, "\n**Cut off**: after check %d of %d, of image %d. The form json has all.\n", i, len(r.Checks), n+1)
				return b.String()
			}
			b.WriteString(row)
		}
	}
	return b.String()
}

// escape makes text of what Markdown and HTML would take for more.
func escape(s string) string {
	return strings.NewReplacer(
		"&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "&#124;", "`", "&#96;", "*", "&#42;", "_", "&#95;", "[", "&#91;", "]", "&#93;",
		"@", "&#64;", "#", "&#35;", "\\", "&#92;", "~", "&#126;",
	).Replace(output.Plain(s))
}

// The elements of JUnit's reports: a suite for each image, a case for each check.
type (
	suites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Suites   []suite  `xml:"testsuite"`
	}
	suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	testCase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *message `xml:"failure,omitempty"`
		Skipped *message `xml:"skipped,omitempty"`
		Out     string   `xml:"system-out,omitempty"`
	}
	message struct {
		Message string `xml:"message,attr"`
	}
)

func junit(r *verify.Report) (string, error) {
	all := suites{Name: "inspect verify", Tests: len(r.Checks), Failures: r.Failed, Skipped: r.Skipped}
	for _, s := range r.Subjects {
		one := suite{Name: output.Plain(s.Name)}
		for _, c := range r.Checks {
			if c.Subject != s.Name {
				continue
			}
			t := testCase{Class: one.Name, Name: strings.TrimSpace(c.Check + " " + output.Plain(c.Platform))}
			for _, f := range c.Evidence {
				t.Out += output.Plain(f.Name+": "+f.Value) + "\n"
			}
			switch c.Result {
			case verify.Fail:
				t.Failure = &message{output.Plain(c.Reason)}
				one.Failures++
			case verify.Skip:
				t.Skipped = &message{output.Plain(c.Reason)}
				one.Skipped++
			}
			one.Cases = append(one.Cases, t)
		}
		one.Tests = len(one.Cases)
		all.Suites = append(all.Suites, one)
	}
	raw, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return "", err
	}
	return xml.Header + string(raw) + "\n", nil
}
