package cli

import (
	"testing"

	"github.com/kaniko-suite/kaniko/shared/command"
)

// TestUserAgent: who started the executor may add a word to what registries are told.
func TestUserAgent(t *testing.T) {
	for word, want := range map[string]string{"": "kaniko/" + command.Release, "skaffold": "kaniko/" + command.Release + ",skaffold"} {
		got := userAgent(func(name string) string { return map[string]string{"UPSTREAM_CLIENT_TYPE": word}[name] })
		if got != want {
			t.Errorf("%q makes it %q, want %q", word, got, want)
		}
	}
}

// TestTargetPlatforms: one platform is one, however it is written.
func TestTargetPlatforms(t *testing.T) {
	f := flags{platforms: []string{"linux/amd64", "linux/arm64", "linux/arm64/v8", "linux/x86_64", "linux/amd64"}}
	if all := f.targetPlatforms(); len(all) != 2 || all[0].Architecture != "amd64" || all[1].Architecture != "arm64" {
		t.Errorf("got %v", all)
	}
}
