package sbom_test

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sbom"
)

// schema compiles a published schema; those that it refers to are beside it.
func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	for _, s := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schema.json", "spdx-schema-2.3.json"} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(read(t, "testdata/schema/"+s)))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+s, doc); err != nil {
			t.Fatal(err)
		}
	}
	compiled, err := c.Compile("http://cyclonedx.org/schema/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// everything is an image with all kinds of packages, some of them strange.
func everything(t *testing.T) v1.Image {
	t.Helper()
	return image(t, []file{
		text("etc/os-release", "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian\"\n"),
		text("var/lib/dpkg/status", dpkg("a=1", "b=2")+"Package: old\nVersion: 1\nMaintainer: J\xf6rg <j@example.com>\n\nPackage: odd \"name\"\nVersion: <&>\nSource: x\n"),
		{name: "lib/apk/db/installed", content: append(read(t, "testdata/apk-installed"), "\nP:strange\nV:1\nL:custom words, (and)\nm:\n"...)},
		{name: "var/lib/rpm/Packages", content: unzipped(t, "testdata/rpm/Packages.gz")},
		{name: "usr/bin/app", content: ownProgram(t), mode: 0o755},
	})
}

func subject(t *testing.T, img v1.Image) sbom.Subject {
	t.Helper()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return sbom.Subject{
		Name: "registry.example.com:5000/team/app", Digest: digest, Platform: "linux/arm64/v8", Created: time.Unix(1700000000, 0),
		Tool: "kaniko-executor", Version: "0.1.0",
	}
}

// TestDocuments: what is written is what the published schemas allow, all packages are
// in it, and twice the same.
func TestDocuments(t *testing.T) {
	for format, c := range map[string]struct {
		schema string
		write  func(*sbom.Inventory, sbom.Subject) ([]byte, error)
		list   string // where packages are
		more   int    // what is there beside packages: image and system
	}{
		"SPDX":      {"spdx-schema-2.3.json", sbom.SPDX, "packages", 2},
		"CycloneDX": {"bom-1.6.schema.json", sbom.CycloneDX, "components", 1},
	} {
		t.Run(format, func(t *testing.T) {
			compiled := schema(t, c.schema)
			for what, img := range map[string]v1.Image{"everything": everything(t), "nothing": image(t, []file{text("a", "b")})} {
				inv := scan(t, img)
				raw, err := c.write(inv, subject(t, img))
				if err != nil {
					t.Fatal(err)
				}
				doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
				if err != nil {
					t.Fatal(err)
				}
				if err := compiled.Validate(doc); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				again, err := c.write(scan(t, img), subject(t, img))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(raw, again) {
					t.Errorf("%s: twice is not the same", what)
				}
				references(t, raw)
				var all map[string]json.RawMessage
				if err := json.Unmarshal(raw, &all); err != nil {
					t.Fatal(err)
				}
				var list []json.RawMessage
				if all[c.list] != nil {
					if err := json.Unmarshal(all[c.list], &list); err != nil {
						t.Fatal(err)
					}
				}
				want := len(inv.Packages)
				if inv.System.ID != "" {
					want += c.more
				} else {
					want += c.more - 1
				}
				if len(list) != want {
					t.Errorf("%s: %d entries, want %d", what, len(list), want)
				}
			}
		})
	}
}

// references demands that what a document refers to is in it, once: a schema cannot.
func references(t *testing.T, raw []byte) {
	t.Helper()
	type component struct {
		Ref string `json:"bom-ref"`
	}
	var doc struct {
		SPDXID        string
		Packages      []struct{ SPDXID, LicenseDeclared string }
		Licenses      []struct{ LicenseID string } `json:"hasExtractedLicensingInfos"`
		Relationships []struct{ SpdxElementID, RelatedSpdxElement string }
		Metadata      struct{ Component component }
		Components    []component
		Dependencies  []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	ids := []string{doc.SPDXID, doc.Metadata.Component.Ref}
	var used []string
	for _, p := range doc.Packages {
		ids = append(ids, p.SPDXID)
		if strings.HasPrefix(p.LicenseDeclared, "LicenseRef-") {
			used = append(used, p.LicenseDeclared)
		}
	}
	for _, l := range doc.Licenses {
		ids = append(ids, l.LicenseID)
	}
	for _, c := range doc.Components {
		ids = append(ids, c.Ref)
	}
	for _, r := range doc.Relationships {
		used = append(used, r.SpdxElementID, r.RelatedSpdxElement)
	}
	for _, d := range doc.Dependencies {
		used = append(append(used, d.Ref), d.DependsOn...)
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
	}
	if len(used) == 0 {
		t.Error("nothing is referred to")
	}
	for _, id := range used {
		if !seen[id] {
			t.Errorf("%s is referred to, and not there", id)
		}
	}
}

// fileOf is what an image has in a file, by the highest layer that has one.
func fileOf(t *testing.T, img v1.Image, name string) []byte {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range slices.Backward(layers) {
		for c, err := range layer.Open(l) {
			if err != nil {
				t.Fatal(err)
			}
			if string(c.Path) != name || c.Open == nil {
				continue
			}
			r, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return content
		}
	}
	t.Fatalf("no %s", name)
	return nil
}
