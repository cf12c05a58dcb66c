package verify

// The results of a check.
const (
	Pass = "pass"
	Fail = "fail"
	Skip = "skip" // it was asked for, and there was no need to make it
)

// ReportVersion is the version of [Report]'s form in JSON, which grows but does not
// change.
const ReportVersion = 1

// PredicateType names the form of a [Report] where it is the predicate of an in-toto
// statement.
const PredicateType = "https://github.com/kaniko-suite/kaniko/blob/main/docs/inspect-verify.md#predicate"

// Report is what a verification found. The same images and policy give the same report:
// it has no time in it.
type Report struct {
	Version       int    `json:"version"`
	PredicateType string `json:"predicateType"`
	// Verdict is pass if no check failed and one was made.
	Verdict string `json:"verdict"`
	// Policy is what was asked for: flags with their values.
	Policy   map[string][]string `json:"policy"`
	Subjects []Subject           `json:"subjects"`
	Checks   []Check             `json:"checks"`
	Passed   int                 `json:"passed"`
	Failed   int                 `json:"failed"`
	Skipped  int                 `json:"skipped"`
}

// Subject is one of the images or indexes that were verified.
type Subject struct {
	Name      string `json:"name"`
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType,omitempty"`
}

// Check is one check and its result.
type Check struct {
	Check    string `json:"check"`
	Subject  string `json:"subject"` // its name
	Platform string `json:"platform,omitempty"`
	Result   string `json:"result"`
	Reason   string `json:"reason,omitempty"` // why it did not pass
	Evidence []Fact `json:"evidence,omitempty"`
}

// Fact is something that was seen.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (r *Report) conclude() {
	for _, c := range r.Checks {
		switch c.Result {
		case Pass:
			r.Passed++
		case Fail:
			r.Failed++
		case Skip:
			r.Skipped++
		}
	}
	r.Verdict = Pass
	if r.Failed > 0 || r.Passed == 0 {
		r.Verdict = Fail
	}
}
