package registry

import (
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Normalize writes a platform the one way registries write it: linux where no
// system is given, this machine's architecture where none is, aliases such as
// x86_64 and aarch64 resolved, and the variant an architecture has anyway (v1 of
// amd64, v8 of arm64, v7 of arm) left out, or put in for arm.
func Normalize(p v1.Platform) v1.Platform {
	p.OS = strings.ToLower(p.OS)
	p.Architecture = strings.ToLower(p.Architecture)
	p.Variant = strings.ToLower(p.Variant)
	if p.OS == "" {
		p.OS = "linux"
	}
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	switch p.Architecture {
	case "":
		p.Architecture = runtime.GOARCH
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386", "i486", "i586", "i686":
		p.Architecture, p.Variant = "386", ""
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	if p.Variant != "" && p.Variant[0] >= '0' && p.Variant[0] <= '9' {
		p.Variant = "v" + p.Variant
	}
	switch {
	case p.Architecture == "amd64" && p.Variant == "v1",
		p.Architecture == "arm64" && (p.Variant == "v8" || p.Variant == "v8.0"):
		p.Variant = ""
	case p.Architecture == "arm" && p.Variant == "":
		p.Variant = "v7"
	}
	return p
}

// Choose picks the index of the entry that suits want best: the same variant,
// or else the highest below it, which it can run too. The first of equals wins.
// -1 means that none suits.
func Choose(want v1.Platform, have []v1.Platform) int {
	want = Normalize(want)
	best, level := -1, -1
	for i, h := range have {
		if h.OS == "" || h.Architecture == "" {
			continue // an attestation, or something else that is not for running
		}
		h = Normalize(h)
		if h.OS != want.OS || h.Architecture != want.Architecture {
			continue
		}
		if want.OSVersion != "" && want.OSVersion != h.OSVersion {
			continue
		}
		l := -1
		switch {
		case h.Variant == want.Variant:
			return i
		case h.Variant == "":
			l = 0
		case generation(h) <= generation(want):
			l = generation(h)
		}
		if l > level {
			best, level = i, l
		}
	}
	return best
}

// generation is the number in a variant, in tenths: v8.1 is 81.
func generation(p v1.Platform) int {
	v := p.Variant
	if v == "" {
		if p.Architecture == "arm64" {
			return 80
		}
		return 10
	}
	n, tenths, point := 0, 0, false
	for _, c := range strings.TrimPrefix(v, "v") {
		switch {
		case c == '.' && !point:
			point = true
		case c < '0' || c > '9' || n > 1000:
			return 1 << 20 // of a kind we do not know: suits only itself
		case point:
			tenths = int(c - '0')
		default:
			n = n*10 + int(c-'0')
		}
	}
	return n*10 + tenths
}
