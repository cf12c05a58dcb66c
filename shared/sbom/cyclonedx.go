package sbom

import "fmt"

// The parts of CycloneDX 1.6 that are written here
// (https://cyclonedx.org/docs/1.6/json/).
type (
	cdxBOM struct {
		Schema       string          `json:"$schema"`
		Format       string          `json:"bomFormat"`
		Spec         string          `json:"specVersion"`
		Serial       string          `json:"serialNumber"`
		Version      int             `json:"version"`
		Metadata     cdxMetadata     `json:"metadata"`
		Components   []cdxComponent  `json:"components"`
		Dependencies []cdxDependency `json:"dependencies"`
	}
	cdxMetadata struct {
		Timestamp string       `json:"timestamp"`
		Tools     cdxTools     `json:"tools"`
		Component cdxComponent `json:"component"`
	}
	cdxTools struct {
		Components []cdxComponent `json:"components"`
	}
	cdxComponent struct {
		Ref         string        `json:"bom-ref,omitempty"`
		Type        string        `json:"type"`
		Supplier    *cdxEntity    `json:"supplier,omitempty"`
		Name        string        `json:"name"`
		Version     string        `json:"version,omitempty"`
		Description string        `json:"description,omitempty"`
		Hashes      []cdxHash     `json:"hashes,omitempty"`
		Licenses    []cdxLicense  `json:"licenses,omitempty"`
		PURL        string        `json:"purl,omitempty"`
		Properties  []cdxProperty `json:"properties,omitempty"`
		Evidence    *cdxEvidence  `json:"evidence,omitempty"`
	}
	cdxEntity struct {
		Name string `json:"name"`
	}
	cdxHash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	// cdxLicense has an expression, or words.
	cdxLicense struct {
		Expression string     `json:"expression,omitempty"`
		License    *cdxEntity `json:"license,omitempty"`
	}
	cdxProperty struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	cdxEvidence struct {
		Occurrences []cdxOccurrence `json:"occurrences"`
	}
	cdxOccurrence struct {
		Location string `json:"location"`
	}
	cdxDependency struct {
		Ref  string   `json:"ref"`
		Uses []string `json:"dependsOn,omitempty"`
	}
)

// The types of components.
const (
	cdxApplication = "application"
	cdxContainer   = "container"
	cdxLibrary     = "library"
	cdxSystem      = "operating-system"
)

// systemRef is the operating system in a document; packages have their package URL.
const systemRef = "operating-system"

// CycloneDX is the document for an image in CycloneDX 1.6's JSON, which depends on
// nothing but the arguments.
func CycloneDX(inv *Inventory, s Subject) ([]byte, error) {
	sum, err := s.fingerprint(inv)
	if err != nil {
		return nil, err
	}
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // an UUID of version 8, RFC 9562
	d := cdxBOM{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", Spec: "1.6", Version: 1,
		Serial: fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]),
		Metadata: cdxMetadata{
			Timestamp: s.at(), Tools: cdxTools{[]cdxComponent{{Type: cdxApplication, Name: s.Tool, Version: s.Version}}},
			Component: cdxComponent{Ref: s.purl(), Type: cdxContainer, Name: s.base(), Version: s.Digest.String(), PURL: s.purl()},
		},
		Components: []cdxComponent{},
	}
	if s.Digest.Algorithm == "sha256" {
		d.Metadata.Component.Hashes = []cdxHash{{"SHA-256", s.Digest.Hex}}
	}
	if y := inv.System; y.ID != "" {
		d.Components = append(d.Components, cdxComponent{Ref: systemRef, Type: cdxSystem, Name: y.ID, Version: y.Version, Description: y.Name})
	}
	for _, p := range inv.Packages {
		d.Components = append(d.Components, component(p))
	}
	d.depend(inv)
	return encode(d)
}

// depend says that the image depends on all that is in it, and programs on their modules.
func (d *cdxBOM) depend(inv *Inventory) {
	image := cdxDependency{Ref: d.Metadata.Component.Ref}
	for _, c := range d.Components {
		image.Uses = append(image.Uses, c.Ref)
	}
	d.Dependencies = append(d.Dependencies, image)
	for _, p := range inv.Packages {
		if len(p.Uses) > 0 {
			d.Dependencies = append(d.Dependencies, cdxDependency{p.PURL, p.Uses})
		}
	}
}

// component is a package.
func component(p Package) cdxComponent {
	c := cdxComponent{
		Ref: p.PURL, Type: cdxLibrary, Name: p.Name, Version: p.fullVersion(), PURL: p.PURL,
		Properties: []cdxProperty{{"kaniko:layer", p.Layer.String()}}, Evidence: &cdxEvidence{},
	}
	if len(p.Uses) > 0 {
		c.Type = cdxApplication
	}
	if p.Supplier != "" {
		c.Supplier = &cdxEntity{person(p.Supplier)}
	}
	switch {
	case isExpression(p.License):
		c.Licenses = []cdxLicense{{Expression: p.License}}
	case p.License != "":
		c.Licenses = []cdxLicense{{License: &cdxEntity{p.License}}}
	}
	for _, path := range p.At {
		c.Evidence.Occurrences = append(c.Evidence.Occurrences, cdxOccurrence{path})
	}
	return c
}

// fullVersion is the version with an RPM's epoch.
func (p Package) fullVersion() string {
	if p.Epoch == "" || p.Epoch == "0" {
		return p.Version
	}
	return p.Epoch + ":" + p.Version
}
