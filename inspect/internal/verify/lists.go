package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
)

// anyList asks for a list of software in whichever form.
const anyList = "any"

// listType begins the predicate types of a form of lists; empty if it is none.
func listType(form string) string {
	switch form {
	case "spdx":
		return "https://spdx.dev/Document"
	case "cyclonedx":
		return "https://cyclonedx.org/bom"
	}
	return ""
}

// listKindOf is the form of a list that lies there as it is; empty if it is none.
func listKindOf(mediaType string) string {
	switch mediaType {
	case "application/spdx+json", "text/spdx+json":
		return "spdx"
	case "application/vnd.cyclonedx+json":
		return "cyclonedx"
	}
	return ""
}

func listForms() []string { return []string{"spdx", "cyclonedx"} }

// lists checks that a list of software of each form that is asked for is attached.
func lists(ctx context.Context, v *Verifier, s *subject, i source.Image) ([]Fact, error) {
	var facts []Fact
	for _, form := range v.Policy.SBOM {
		forms := []string{form}
		if form == anyList {
			forms = listForms()
		}
		found, err := v.list(ctx, s, i, forms)
		if err != nil {
			return facts, err
		}
		facts = append(facts, found...)
	}
	return facts, nil
}

// list finds one of one of the forms.
func (v *Verifier) list(ctx context.Context, s *subject, i source.Image, forms []string) ([]Fact, error) {
	var reasons []string
	for _, form := range forms {
		good, bad, err := v.about(ctx, s, i.Descriptor.Digest, func(t string) bool {
			return t == listType(form) || strings.HasPrefix(t, listType(form)+"/")
		})
		if err != nil {
			return nil, err
		}
		reasons = append(reasons, bad...)
		for _, one := range good {
			n, err := countPackages(form, one.statement.Predicate)
			if err != nil {
				reasons = append(reasons, err.Error())
				continue
			}
			return append(one.facts, Fact{form, fmt.Sprintf("%d packages", n)}), nil
		}
		raw, bad, err := v.rawList(ctx, s, i, form)
		if err != nil || raw != nil {
			return raw, err
		}
		reasons = append(reasons, bad...)
	}
	return nil, none("list of software ("+strings.Join(forms, ", ")+")", reasons)
}

// rawList finds a list that lies there as it is, which counts where nobody has to have
// signed it.
func (v *Verifier) rawList(ctx context.Context, s *subject, i source.Image, form string) (facts []Fact, reasons []string, err error) {
	all, err := s.attached(ctx, v.Client, i.Descriptor.Digest)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range all {
		if a.listKind != form {
			continue
		}
		by, err := a.trusted(v.Policy.trust, s.signed)
		n := 0
		if err == nil {
			n, err = countPackages(form, a.list)
		}
		if err != nil {
			reasons = append(reasons, a.where+": "+err.Error())
			continue
		}
		return append([]Fact{{"about", i.Descriptor.Digest.String()}, {"found at", a.where}, {form, fmt.Sprintf("%d packages", n)}}, by...), nil, nil
	}
	return nil, reasons, nil
}

// countPackages reads a list as far as it takes to see that it is one.
func countPackages(form string, raw []byte) (int, error) {
	var doc struct {
		Version  string            `json:"spdxVersion"`
		ID       string            `json:"SPDXID"`
		Packages []json.RawMessage `json:"packages"`

		Format     string            `json:"bomFormat"`
		Spec       string            `json:"specVersion"`
		Components []json.RawMessage `json:"components"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return 0, fmt.Errorf("read the list: %w", err)
	}
	if form == "spdx" {
		if !strings.HasPrefix(doc.Version, "SPDX-") || doc.ID != "SPDXRef-DOCUMENT" {
			return 0, errors.New("it is no document of SPDX")
		}
		return len(doc.Packages), nil
	}
	if doc.Format != "CycloneDX" || doc.Spec == "" {
		return 0, errors.New("it is no document of CycloneDX")
	}
	return len(doc.Components), nil
}
