package attest

import (
	"fmt"

	"github.com/kaniko-suite/kaniko/shared/sbom"
)

// Format is a form of a list of software.
type Format struct {
	Name  string
	Type  string // of the predicate, as cosign has it
	file  string
	write func(*sbom.Inventory, sbom.Subject) ([]byte, error)
}

// Formats are all that there are.
func Formats() []Format {
	return []Format{
		{"spdx", "https://spdx.dev/Document", "sbom.spdx.json", sbom.SPDX},
		{"cyclonedx", "https://cyclonedx.org/bom", "sbom.cyclonedx.json", sbom.CycloneDX},
	}
}

// ParseFormats reads names of formats; one that is named twice is made once.
func ParseFormats(names []string) ([]Format, error) {
	var all []Format
	given := map[string]bool{}
	for _, n := range names {
		given[n] = true
	}
	for _, f := range Formats() {
		if given[f.Name] {
			all = append(all, f)
		}
		delete(given, f.Name)
	}
	for _, n := range names {
		if given[n] {
			return nil, fmt.Errorf("%q is no format of a list of software: it must be spdx or cyclonedx", n)
		}
	}
	return all, nil
}
