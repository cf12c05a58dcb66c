package report

import (
	"fmt"
	"strings"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
)

// document is the result as JSON, in the form of [compare.ResultVersion]. Ignored
// differences are counted in any case, and listed if they are to be shown.
func document(r *compare.Result, o Options) (string, error) {
	out := *r
	out.Differences = o.shown(r.Differences)
	out.Images = nil
	for _, p := range r.Images {
		p.Differences = o.shown(p.Differences)
		out.Images = append(out.Images, p)
	}
	if out.Images == nil {
		out.Images = []compare.Pair{}
	}
	var b strings.Builder
	if err := output.WriteJSON(&b, out); err != nil {
		return "", fmt.Errorf("write the report: %w", err)
	}
	return b.String(), nil
}
