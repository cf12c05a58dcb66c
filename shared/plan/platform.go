package plan

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ParsePlatform reads "os/arch", "os/arch/variant", or one of os and arch alone,
// which is filled up from def. Common other names of architectures are taken.
func ParsePlatform(s string, def v1.Platform) (v1.Platform, error) {
	parts := strings.Split(strings.ToLower(strings.TrimSpace(s)), "/")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return v1.Platform{}, fmt.Errorf("platform %q is not of the form os/arch or os/arch/variant", s)
	}
	p := v1.Platform{OS: def.OS, Architecture: def.Architecture, Variant: def.Variant}
	switch known := isOS(parts[0]); {
	case len(parts) == 1 && known:
		p.OS = parts[0]
	case len(parts) == 1:
		p.Architecture, p.Variant = architecture(parts[0])
	default:
		p.OS = parts[0]
		p.Architecture, p.Variant = architecture(parts[1])
		if len(parts) == 3 {
			p.Variant = parts[2]
		}
	}
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	for _, r := range p.OS + p.Architecture + p.Variant {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-' {
			return v1.Platform{}, fmt.Errorf("platform %q is not of the form os/arch or os/arch/variant", s)
		}
	}
	return normalize(p), nil
}

func isOS(s string) bool {
	switch s {
	case "linux", "windows", "darwin", "macos", "freebsd", "netbsd", "openbsd", "dragonfly", "solaris", "illumos", "aix", "android", "plan9", "wasip1", "js":
		return true
	}
	return false
}

func architecture(s string) (arch, variant string) {
	switch s {
	case "x86_64", "x86-64":
		return "amd64", ""
	case "aarch64":
		return "arm64", ""
	case "armhf":
		return "arm", "v7"
	case "armel":
		return "arm", "v6"
	case "i386", "i486", "i586", "i686", "x86":
		return "386", ""
	}
	return s, ""
}

// normalize leaves out the variant that the architecture means anyway, and puts
// in the one that it means by convention.
func normalize(p v1.Platform) v1.Platform {
	switch p.Architecture + "/" + p.Variant {
	case "arm64/v8", "arm64/8", "amd64/v1":
		p.Variant = ""
	case "arm/", "arm/7":
		p.Variant = "v7"
	case "arm/5", "arm/6", "arm/8":
		p.Variant = "v" + p.Variant
	}
	return p
}

// formatPlatform is what the platform arguments say.
func formatPlatform(p v1.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}
