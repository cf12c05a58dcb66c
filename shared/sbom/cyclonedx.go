package sbom

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

// CycloneDX is the document for an image in CycloneDX 1.6's JSON, which depends on
// nothing but the arguments.
func CycloneDX(inv *Inventory, s Subject) ([]byte, error) {
	sum, err := s.fingerprint(inv)
	if err != nil {
		return nil, err
	}
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // an UUID of version 8, RFC 9562
	root := cyclonedx.Component{
		BOMRef: s.purl(), Type: cyclonedx.ComponentTypeContainer, Name: s.base(), Version: s.Digest.String(), PackageURL: s.purl(),
	}
	if strings.EqualFold(s.Digest.Algorithm, "sha256") {
		root.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: s.Digest.Hex}}
	}
	bom := cyclonedx.NewBOM()
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: s.at(), Component: &root,
		Tools: &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{
			{Type: cyclonedx.ComponentTypeApplication, Name: s.Tool, Version: s.Version},
		}},
	}
	var components []cyclonedx.Component
	var all []string
	dependencies := []cyclonedx.Dependency{{}} // the image's, which comes first
	if inv.System.ID != "" {
		ref := "system"
		all = append(all, ref)
		components = append(components, cyclonedx.Component{
			BOMRef: ref, Type: cyclonedx.ComponentTypeOS, Name: inv.System.ID, Version: inv.System.Version, Description: inv.System.Name,
		})
	}
	for _, p := range inv.Packages {
		components = append(components, component(p))
		all = append(all, p.PURL)
		if len(p.Uses) > 0 {
			dependencies = append(dependencies, cyclonedx.Dependency{Ref: p.PURL, Dependencies: &p.Uses})
		}
	}
	dependencies[0] = cyclonedx.Dependency{Ref: root.BOMRef, Dependencies: &all}
	bom.Components, bom.Dependencies = &components, &dependencies
	var b bytes.Buffer
	e := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(false).SetEscapeHTML(false)
	if err := e.EncodeVersion(bom, cyclonedx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("write a list of software: %w", err)
	}
	return b.Bytes(), nil
}

// component is a package.
func component(p Package) cyclonedx.Component {
	c := cyclonedx.Component{
		BOMRef: p.PURL, Type: cyclonedx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: p.PURL,
		Properties: &[]cyclonedx.Property{{Name: "kaniko:layer", Value: p.Layer.String()}},
	}
	if p.Epoch != "" {
		c.Version = p.Epoch + ":" + p.Version
	}
	if len(p.Uses) > 0 {
		c.Type = cyclonedx.ComponentTypeApplication
	}
	if p.Supplier != "" {
		c.Supplier = &cyclonedx.OrganizationalEntity{Name: person(p.Supplier)}
	}
	switch {
	case isExpression(p.License):
		c.Licenses = &cyclonedx.Licenses{{Expression: p.License}}
	case p.License != "":
		c.Licenses = &cyclonedx.Licenses{{License: &cyclonedx.License{Name: p.License}}}
	}
	var at []cyclonedx.EvidenceOccurrence
	for _, path := range p.At {
		at = append(at, cyclonedx.EvidenceOccurrence{Location: path})
	}
	c.Evidence = &cyclonedx.Evidence{Occurrences: &at}
	return c
}
