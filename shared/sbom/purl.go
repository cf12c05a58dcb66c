package sbom

import (
	"path"
	"strings"

	"github.com/package-url/packageurl-go"
)

// valid is a package whose fields are text.
func (p record) valid() record {
	for _, field := range []*string{&p.Name, &p.Version, &p.Arch, &p.Epoch, &p.Source, &p.SourceVersion, &p.License, &p.Supplier} {
		*field = strings.ToValidUTF8(*field, "\uFFFD")
	}
	return p
}

// purl is the package URL, in the form that those who look for vulnerabilities know: with
// the distribution, and as "upstream" the source package, by which many are published.
func (p record) purl(s System) string {
	q := map[string]string{}
	set := func(key, value string) {
		if value != "" {
			q[key] = value
		}
	}
	set("arch", p.Arch)
	set("epoch", p.Epoch)
	upstream := p.Source
	if upstream != "" && p.SourceVersion != "" {
		upstream += "@" + p.SourceVersion
	}
	set("upstream", upstream)
	namespace, name := s.ID, p.Name
	switch p.Kind {
	case Go, Node: // a module's path; a package's scope
		namespace, name = path.Dir(p.Name), path.Base(p.Name)
		if namespace == "." {
			namespace = ""
		}
	case Python: // whose names are one however they are written
		namespace, name = "", strings.ReplaceAll(strings.ToLower(p.Name), "_", "-")
	default:
		if namespace == "" && p.Kind == Debian {
			namespace = "debian" // what dpkg alone says
		}
		if s.ID != "" && s.Version != "" {
			set("distro", s.ID+"-"+s.Version)
		}
	}
	return packageurl.NewPackageURL(string(p.Kind), namespace, name, p.Version, packageurl.QualifiersFromMap(q), "").ToString()
}
