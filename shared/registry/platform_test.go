package registry

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func platform(t *testing.T, s string) v1.Platform {
	t.Helper()
	p, err := v1.ParsePlatform(s)
	if err != nil {
		t.Fatal(err)
	}
	return *p
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/x86_64": "linux/amd64", "linux/amd64/v1": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3",
		"linux/arm64": "linux/arm64", "linux/arm64/v8": "linux/arm64", "linux/aarch64": "linux/arm64", "linux/arm64/8": "linux/arm64",
		"linux/arm": "linux/arm/v7", "linux/arm/v6": "linux/arm/v6", "linux/armhf": "linux/arm/v7", "linux/armel": "linux/arm/v6",
		"Linux/AMD64": "linux/amd64", "linux/i386": "linux/386",
	} {
		if got := Normalize(platform(t, in)); got.String() != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := Normalize(v1.Platform{}); got.OS != "linux" || got.Architecture == "" {
		t.Errorf("nothing: %s", got)
	}
}

func TestChoose(t *testing.T) {
	for _, tc := range []struct {
		want, have string
		index      int
	}{
		{"linux/amd64", "linux/arm64 linux/amd64", 1},
		{"linux/arm64", "linux/amd64 linux/arm64/v8", 1},
		{"linux/arm64/v8", "linux/amd64 linux/arm64", 1},
		{"linux/arm64/v9", "linux/arm64 linux/amd64", 0},
		{"linux/arm64", "linux/arm64/v9", -1},
		{"linux/arm", "linux/arm/v5 linux/arm/v6 linux/arm/v7", 2},
		{"linux/arm/v6", "linux/arm/v5 linux/arm/v7", 0},
		{"linux/arm/v7", "linux/arm/v5 linux/arm/v6", 1},
		{"linux/arm/v5", "linux/arm/v6 linux/arm/v7", -1},
		{"linux/amd64/v3", "linux/amd64 linux/amd64/v2 linux/amd64/v4", 1},
		{"linux/amd64", "linux/amd64/v2 linux/amd64", 1},
		{"linux/amd64", "linux/amd64/v2", -1},
		{"linux/amd64", "windows/amd64 unknown/unknown", -1},
		{"linux/amd64", "linux/amd64 linux/amd64", 0},
		{"linux/riscv64", "linux/amd64 linux/riscv64", 1},
		{"linux/mips64le/softfloat", "linux/mips64le linux/mips64le/softfloat", 1},
	} {
		var have []v1.Platform
		for _, h := range strings.Fields(tc.have) {
			have = append(have, platform(t, h))
		}
		if got := Choose(platform(t, tc.want), have); got != tc.index {
			t.Errorf("%s among %s: %d, want %d", tc.want, tc.have, got, tc.index)
		}
	}
}
