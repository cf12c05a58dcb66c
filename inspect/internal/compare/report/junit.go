package report

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
)

// The elements of JUnit's reports, as those who show tests read them: a suite for each
// pair of images, a case for each part of it, which fails where something differs.
type (
	suites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Suites   []suite  `xml:"testsuite"`
	}
	suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	testCase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *failure `xml:"failure,omitempty"`
		Out     string   `xml:"system-out,omitempty"`
	}
	failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func junit(r *compare.Result, o Options) (string, error) {
	all := suites{Name: "inspect diff"}
	title := plain(r.A.Name + " and " + r.B.Name)
	all.add(junitSuite(title, compare.Pair{Differences: r.Differences}, o, "index"))
	for _, p := range r.Images {
		n := title
		if name(p) != "" {
			n = plain(name(p))
		}
		all.add(junitSuite(n, p, o, "manifest", "config"))
	}
	raw, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write the report: %w", err)
	}
	return xml.Header + string(raw) + "\n", nil
}

func (s *suites) add(one suite) {
	s.Suites = append(s.Suites, one)
	s.Tests += one.Tests
	s.Failures += one.Failures
}

// junitSuite has a case for each part that can differ, those which do not as well.
func junitSuite(title string, p compare.Pair, o Options, parts ...string) suite {
	byPart := map[string][]compare.Difference{}
	for _, l := range p.Layers {
		parts = append(parts, place(l.A, l.B))
	}
	for _, d := range p.Differences {
		where := place(d.LayerA, d.LayerB)
		if where == "" {
			where = part(d)
		}
		if len(parts) == 1 && parts[0] == "index" {
			where = "index"
		}
		if _, ok := byPart[where]; !ok && !slices.Contains(parts, where) {
			parts = append(parts, where)
		}
		byPart[where] = append(byPart[where], d)
	}
	s := suite{Name: title}
	for _, where := range parts {
		c := testCase{Class: title, Name: where}
		var failed, ignored []string
		for _, d := range byPart[where] {
			if d.Ignored == "" {
				failed = append(failed, sentence(d)+"\n"+plainLines(d.Text))
			} else if o.Ignored {
				ignored = append(ignored, sentence(d)+" (ignored: "+d.Ignored+")")
			}
		}
		if len(failed) > 0 {
			c.Failure = &failure{Message: counted(len(failed), "difference"), Text: strings.Join(failed, "")}
			s.Failures++
		}
		c.Out = strings.Join(ignored, "\n")
		s.Cases = append(s.Cases, c)
	}
	s.Tests = len(s.Cases)
	return s
}

// sentence is a difference in one line.
func sentence(d compare.Difference) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s: %s | %s", plain(d.Path), plain(d.Field), value(d.A), value(d.B)))
}
