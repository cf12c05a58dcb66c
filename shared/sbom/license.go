package sbom

import (
	"maps"
	"slices"

	"github.com/github/go-spdx/v2/spdxexp"
)

// maxExpression bounds what is looked at as an expression, in bytes.
const maxExpression = 1 << 10

// isExpression tells whether a package's words about its licence are an expression that
// SPDX knows. Older packages have words of their own.
func isExpression(text string) bool {
	if text == "" || len(text) > maxExpression {
		return false
	}
	ok, _ := spdxexp.ValidateLicenses([]string{text})
	return ok
}

// licenseSet is words about licences that are no expressions, by the names that they get
// in a document.
type licenseSet map[string]string

// expression is a licence as SPDX can have it.
func (l licenseSet) expression(text string) string {
	switch {
	case text == "":
		return noAssertion
	case isExpression(text):
		return text
	}
	id := "LicenseRef-" + short(text)
	l[id] = text
	return id
}

func (l licenseSet) spdx() []spdxLicense {
	var all []spdxLicense
	for _, id := range slices.Sorted(maps.Keys(l)) {
		all = append(all, spdxLicense{ID: id, Text: l[id], Name: l[id]})
	}
	return all
}
