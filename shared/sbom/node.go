package sbom

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// maxManifest bounds a package.json, in bytes.
const maxManifest = 4 << 20

// isNode tells whether a file is the package.json of a package that was installed: it
// lies in node_modules/NAME or node_modules/@SCOPE/NAME. What lies deeper is the
// package's own affair.
func isNode(p tree.Path) bool {
	if p.Base() != "package.json" {
		return false
	}
	above := p.Parent().Parent()
	if strings.HasPrefix(above.Base(), "@") {
		above = above.Parent()
	}
	return above.Base() == "node_modules"
}

// readNode reads a package.json. One that cannot be read is not one that Node could use.
func readNode(r io.Reader, f *finding) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil || len(raw) > maxManifest {
		return err
	}
	var m struct {
		Name, Version string
		License       json.RawMessage
	}
	if err := json.Unmarshal(raw, &m); err != nil || m.Name == "" || m.Version == "" {
		return nil
	}
	return f.add(record{Package: Package{Kind: Node, Name: m.Name, Version: m.Version, License: nodeLicense(m.License)}})
}

// nodeLicense is an expression or, in old packages, has it as its type.
func nodeLicense(raw json.RawMessage) string {
	var text string
	var old struct{ Type string }
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	if json.Unmarshal(raw, &old) == nil {
		return old.Type
	}
	return ""
}
