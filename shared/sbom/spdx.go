package sbom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// The parts of SPDX 2.3 that are written here (https://spdx.github.io/spdx-spec/v2.3/).
type (
	spdxDocument struct {
		Version       string             `json:"spdxVersion"`
		DataLicense   string             `json:"dataLicense"`
		ID            string             `json:"SPDXID"`
		Name          string             `json:"name"`
		Namespace     string             `json:"documentNamespace"`
		Creation      spdxCreation       `json:"creationInfo"`
		Packages      []spdxPackage      `json:"packages"`
		Licenses      []spdxLicense      `json:"hasExtractedLicensingInfos,omitempty"`
		Relationships []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID               string         `json:"SPDXID"`
		Name             string         `json:"name"`
		Version          string         `json:"versionInfo,omitempty"`
		Purpose          string         `json:"primaryPackagePurpose,omitempty"`
		Supplier         string         `json:"supplier,omitempty"`
		DownloadLocation string         `json:"downloadLocation"`
		FilesAnalyzed    bool           `json:"filesAnalyzed"`
		Checksums        []spdxChecksum `json:"checksums,omitempty"`
		SourceInfo       string         `json:"sourceInfo,omitempty"`
		Concluded        string         `json:"licenseConcluded"`
		Declared         string         `json:"licenseDeclared"`
		Copyright        string         `json:"copyrightText"`
		Refs             []spdxRef      `json:"externalRefs,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxLicense struct {
		ID   string `json:"licenseId"`
		Text string `json:"extractedText"`
		Name string `json:"name"`
	}
	spdxRelationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

const (
	spdxRoot     = "SPDXRef-DOCUMENT"
	spdxImage    = "SPDXRef-Image"
	spdxSystem   = "SPDXRef-OperatingSystem"
	noAssertion  = "NOASSERTION"
	spdxRelation = "CONTAINS"
)

// namespaces is where the names of documents begin. Nothing has to be there.
const namespaces = "https://github.com/kaniko-suite/kaniko/sbom/"

// SPDX is the document for an image in SPDX 2.3's JSON, which depends on nothing but the
// arguments.
func SPDX(inv *Inventory, s Subject) ([]byte, error) {
	sum, err := s.fingerprint(inv)
	if err != nil {
		return nil, err
	}
	d := spdxDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: spdxRoot, Name: s.base(),
		Namespace: fmt.Sprintf("%s%s-%x", namespaces, s.Digest.Hex, sum[:8]),
		Creation:  spdxCreation{s.at(), []string{"Tool: " + s.Tool + "-" + s.Version}},
	}
	d.relate(spdxRoot, "DESCRIBES", spdxImage)
	image := unknown(spdxImage, s.base(), s.Digest.String())
	image.Purpose = "CONTAINER"
	image.Checksums = []spdxChecksum{{strings.ToUpper(s.Digest.Algorithm), s.Digest.Hex}}
	image.Refs = purlRef(s.purl())
	d.Packages = append(d.Packages, image)
	if inv.System.ID != "" {
		system := unknown(spdxSystem, inv.System.ID, inv.System.Version)
		system.Purpose = "OPERATING_SYSTEM"
		system.SourceInfo = inv.System.Name
		d.Packages = append(d.Packages, system)
		d.relate(spdxImage, spdxRelation, spdxSystem)
	}
	licenses := licenseSet{}
	for _, p := range inv.Packages {
		d.add(p, licenses)
	}
	d.Licenses = licenses.spdx()
	return encode(d)
}

// unknown is a package of which not more is known.
func unknown(id, name, version string) spdxPackage {
	return spdxPackage{ID: id, Name: name, Version: version, DownloadLocation: noAssertion,
		Concluded: noAssertion, Declared: noAssertion, Copyright: noAssertion}
}

func purlRef(purl string) []spdxRef { return []spdxRef{{"PACKAGE-MANAGER", "purl", purl}} }

func (d *spdxDocument) relate(from, kind, to string) {
	d.Relationships = append(d.Relationships, spdxRelationship{from, kind, to})
}

func (d *spdxDocument) add(p Package, licenses licenseSet) {
	q := unknown(spdxID(p.PURL), p.Name, p.fullVersion())
	if p.Supplier != "" {
		q.Supplier = "Organization: " + person(p.Supplier)
	}
	q.SourceInfo = fmt.Sprintf("found in %s, of layer %s", strings.Join(p.At, ", "), p.Layer)
	q.Declared = licenses.expression(p.License)
	q.Refs = purlRef(p.PURL)
	d.Packages = append(d.Packages, q)
	d.relate(spdxImage, spdxRelation, q.ID)
	for _, used := range p.Uses {
		d.relate(q.ID, "DEPENDS_ON", spdxID(used))
	}
}

func spdxID(purl string) string { return "SPDXRef-Package-" + short(purl) }

// person is a name with an address as SPDX has it.
func person(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	name, address, ok := strings.Cut(s, " <")
	address, closed := strings.CutSuffix(address, ">")
	if !ok || !closed {
		return s
	}
	return name + " (" + address + ")"
}

// encode is JSON on one line, as small as it gets: documents are kept in registries.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write a list of software: %w", err)
	}
	return b.Bytes(), nil
}
