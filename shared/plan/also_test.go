package plan

import (
	"strings"
	"testing"
)

// TestCompile_also: what is to be built beside the target is in the plan, with what it
// needs, once; the target is who it was.
func TestCompile_also(t *testing.T) {
	const text = `FROM base AS build
RUN make
FROM base AS unused
RUN never
FROM build AS test
RUN test
FROM scratch AS app
COPY --from=build /app /
`
	names := func(all []*Stage) string {
		var s []string
		for _, one := range all {
			s = append(s, one.Name)
		}
		return strings.Join(s, " ")
	}
	for _, tc := range []struct {
		target       string
		also         []string
		stages, here string
	}{
		{"app", nil, "build app", ""},
		{"app", []string{"test"}, "build test app", "test"},
		{"build", []string{"app", "TEST", "2"}, "build test app", "app test"},
		{"app", []string{"app", "3"}, "build app", ""},
	} {
		p := mustCompile(t, text, Options{Bases: bases(), BuildPlatform: amd64(), Target: tc.target, Also: tc.also})
		if names(p.Stages) != tc.stages || names(p.Also) != tc.here || p.Target.Name != tc.target {
			t.Errorf("%s and %q: stages %s, also %s, target %s", tc.target, tc.also, names(p.Stages), names(p.Also), p.Target.Name)
		}
	}
	if _, err := compile(t, text, Options{Bases: bases(), BuildPlatform: amd64(), Target: "app", Also: []string{"tset"}}); err == nil || !strings.Contains(err.Error(), `no stage "tset"`) {
		t.Errorf("got error %v", err)
	}
}
