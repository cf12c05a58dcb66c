package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestCompile_config(t *testing.T) {
	path := []string{"PATH=/bin"}
	set := func(keys ...string) map[string]struct{} {
		m := map[string]struct{}{}
		for _, k := range keys {
			m[k] = struct{}{}
		}
		return m
	}
	for _, c := range []struct {
		name string
		text string
		o    Options
		want v1.Config
	}{
		{
			name: "scratch has a PATH and a working directory",
			text: "FROM scratch",
			want: v1.Config{Env: []string{"PATH=" + defaultPath}, WorkingDir: "/"},
		},
		{
			name: "base is inherited, its directory made absolute",
			text: "FROM rich",
			want: v1.Config{
				Env: []string{"PATH=/bin", "A=base"}, User: "app", WorkingDir: "/srv",
				Cmd: []string{"old"}, Entrypoint: []string{"/entry"}, Labels: map[string]string{"l": "base"},
			},
		},
		{
			name: "100 odd entries of a base are kept",
			text: "FROM odd",
			want: v1.Config{Env: []string{"", "=x", "LONE", "K=v=w", "PATH=" + defaultPath}, WorkingDir: "/dir"},
		},
		{
			name: "105 ENV uses the old values on one line",
			text: "FROM base\nENV a=1\nENV a=2 b=$a c='$a' d=\"$a x\"\nENV e some  words $b\nENV PATH=/x:$PATH",
			want: v1.Config{Env: []string{"PATH=/x:/bin", "a=2", "b=1", "c=$a", "d=1 x", "e=some  words 1"}},
		},
		{
			name: "103 ARG is not in the config",
			text: "FROM base\nARG A=1\nENV B=$A",
			want: v1.Config{Env: []string{"PATH=/bin", "B=1"}},
		},
		{
			name: "106 expansion",
			text: "FROM base\nARG V=x P=\"80 81/udp\"\nLABEL a=$V \"b c\"=\"$V y\" $V=k\nEXPOSE $P 90-91\nSTOPSIGNAL SIG${T:-TERM}\nUSER $V\nVOLUME /$V /b\n" +
				"CMD [\"$V\"]\nENTRYPOINT [\"$V\"]",
			want: v1.Config{
				Env: path, Labels: map[string]string{"a": "x", "b c": "x y", "x": "k"},
				ExposedPorts: set("80/tcp", "81/udp", "90/tcp", "91/tcp"), StopSignal: "SIGTERM", User: "x",
				Volumes: set("/x", "/b"), Cmd: []string{"$V"}, Entrypoint: []string{"$V"},
			},
		},
		{
			name: "EXPOSE takes only the container's side",
			text: "FROM base\nEXPOSE 8080:80 127.0.0.1:9000:90/UDP 7/",
			want: v1.Config{Env: path, ExposedPorts: set("80/tcp", "90/udp", "7/tcp")},
		},
		{
			name: "114 ENTRYPOINT clears the base's CMD",
			text: "FROM rich\nENTRYPOINT [\"e\"]",
			want: v1.Config{Env: []string{"PATH=/bin", "A=base"}, User: "app", WorkingDir: "/srv", Entrypoint: []string{"e"}, Labels: map[string]string{"l": "base"}},
		},
		{
			name: "114 ENTRYPOINT clears the CMD of the stage below",
			text: "FROM base\nCMD c\nFROM 0\n",
			o:    Options{Target: "0"},
			want: v1.Config{Env: path, Cmd: []string{"/bin/sh", "-c", "c"}},
		},
		{
			name: "114 ENTRYPOINT keeps the stage's own CMD, in either order",
			text: "FROM base AS b\nCMD [\"c\"]\nENTRYPOINT e\nFROM b\nENTRYPOINT [\"e2\"]\nCMD [\"c2\"]\nENTRYPOINT [\"e3\"]",
			want: v1.Config{Env: path, Cmd: []string{"c2"}, Entrypoint: []string{"e3"}},
		},
		{
			name: "114 empty lists clear",
			text: "FROM rich\nCMD []\nENTRYPOINT []\nUSER 0\nWORKDIR /",
			want: v1.Config{Env: []string{"PATH=/bin", "A=base"}, User: "0", WorkingDir: "/", Cmd: []string{}, Labels: map[string]string{"l": "base"}},
		},
		{
			name: "118 SHELL wraps CMD, ENTRYPOINT",
			text: "FROM base\nSHELL [\"/bin/bash\", \"-c\"]\nENTRYPOINT e\nCMD c d",
			want: v1.Config{Env: path, Shell: []string{"/bin/bash", "-c"}, Entrypoint: []string{"/bin/bash", "-c", "e"}, Cmd: []string{"/bin/bash", "-c", "c d"}},
		},
		{
			name: "115 HEALTHCHECK",
			text: "FROM base\nHEALTHCHECK --interval=5m --timeout=3s --start-period=1s --retries=4 CMD curl $A",
			want: v1.Config{Env: path, Healthcheck: &v1.HealthConfig{
				Test: []string{"CMD-SHELL", "curl $A"}, Interval: 5 * time.Minute, Timeout: 3 * time.Second, StartPeriod: time.Second, Retries: 4,
			}},
		},
		{
			name: "115 HEALTHCHECK NONE, inherited",
			text: "FROM base AS a\nHEALTHCHECK CMD [\"a\", \"b\"]\nFROM a AS b\nHEALTHCHECK NONE\nFROM b",
			want: v1.Config{Env: path, Healthcheck: &v1.HealthConfig{Test: []string{"NONE"}}},
		},
		{
			name: "113 own triggers are kept, the base's are not",
			text: "FROM triggers\nONBUILD RUN a\\\n b\nONBUILD ADD x /\n",
			want: v1.Config{Env: path, OnBuild: []string{"RUN a b", "ADD x /"}},
		},
		{
			name: "116 VOLUME in JSON",
			text: "FROM base\nVOLUME [\"/a b\", \"/c\"]",
			want: v1.Config{Env: path, Volumes: set("/a b", "/c")},
		},
		{
			name: "120 labels from outside win",
			text: "FROM rich\nLABEL l=here m=here",
			o:    Options{Labels: map[string]string{"m": "out", "n": "out"}},
			want: v1.Config{
				Env: []string{"PATH=/bin", "A=base"}, User: "app", WorkingDir: "/srv",
				Cmd: []string{"old"}, Entrypoint: []string{"/entry"}, Labels: map[string]string{"l": "here", "m": "out", "n": "out"},
			},
		},
		{
			name: "names and values that look odd",
			text: "FROM base\nENV A=a=b B= \"C D\"=e\n",
			want: v1.Config{Env: []string{"PATH=/bin", "A=a=b", "B=", "C D=e"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustCompile(t, c.text, c.o).Target.Config.Config
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

// The base's config and the steps before must not change when a later step does.
func TestCompile_stepsDoNotShare(t *testing.T) {
	b := bases()
	rich := b.configs["rich"]
	before := rich.DeepCopy()
	p := mustCompile(t, "FROM rich AS a\nENV A=1\nLABEL l=1\nEXPOSE 1\nVOLUME /1\nONBUILD RUN x\nFROM a\nENV A=2\nLABEL l=2\nEXPOSE 2\nVOLUME /2\nONBUILD RUN y\n",
		Options{Bases: b, Labels: map[string]string{"l": "3"}})
	after := b.configs["rich"]
	if diff := cmp.Diff(*before, after); diff != "" {
		t.Errorf("the base changed:\n%s", diff)
	}
	first := p.Stages[0].Config.Config
	if got := first.Labels["l"] + first.Env[1] + strings.Join(first.OnBuild, ","); got != "1A=1RUN x" {
		t.Errorf("the lower stage changed: %s", got)
	}
	if len(first.ExposedPorts) != 1 || len(first.Volumes) != 1 {
		t.Errorf("the lower stage changed: %v %v", first.ExposedPorts, first.Volumes)
	}
	if got := p.Target.Steps[0].Config.Labels["l"]; got != "1" && got != "base" {
		t.Errorf("an earlier step has the label of a later one: %s", got)
	}
	if got := p.Target.Config.Config.Labels["l"]; got != "3" {
		t.Errorf("the label is %q", got)
	}
}

func TestCompile_imageFields(t *testing.T) {
	b := bases()
	cfg := b.configs["rich"]
	cfg.OS, cfg.Architecture, cfg.Variant = "linux", "arm", "v7"
	cfg.DockerVersion, cfg.Container, cfg.Created = "1.2", "abc", v1.Time{Time: time.Unix(9, 0)}
	cfg.History = []v1.History{{CreatedBy: "h"}}
	cfg.RootFS = v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{{Algorithm: "sha256", Hex: "aa"}}}
	b.configs["rich"] = cfg

	got := mustCompile(t, "FROM rich", Options{Bases: b}).Target.Config
	got.Config = v1.Config{}
	want := v1.ConfigFile{Author: "them", OS: "linux", Architecture: "arm", Variant: "v7", History: cfg.History, RootFS: cfg.RootFS}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("without a target platform the base's holds (-want +got):\n%s", diff)
	}

	p := mustCompile(t, "FROM rich\nMAINTAINER me <me@x>\n", Options{Bases: b, TargetPlatform: v1.Platform{OS: "linux", Architecture: "arm64"}})
	if c := p.Target.Config; c.Architecture != "arm64" || c.Variant != "" || c.Author != "me <me@x>" {
		t.Errorf("119, 120: %s %q %s", c.Architecture, c.Variant, c.Author)
	}
	if len(p.Warnings) == 0 || p.Warnings[len(p.Warnings)-1].Rule != "InvalidBaseImagePlatform" {
		t.Errorf("no warning of a base for another machine: %v", p.Warnings)
	}
}

func TestCompile_startInterval(t *testing.T) {
	p := mustCompile(t, "FROM base AS a\nHEALTHCHECK --start-interval=2s CMD x\nFROM a AS b\nFROM b AS c\nHEALTHCHECK NONE\nFROM scratch\nCOPY --from=b / /\nCOPY --from=c / /\n", Options{})
	var got []time.Duration
	for _, s := range p.Stages {
		got = append(got, s.StartInterval)
	}
	if diff := cmp.Diff([]time.Duration{2 * time.Second, 2 * time.Second, 0, 0}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCompile_history(t *testing.T) {
	text := `FROM base
ARG A=1 B
ARG HTTP_PROXY
ENV X=a Y="b c"
LABEL l=$A
RUN make   all
RUN ["a", "b"]
RUN <<EOF
one
two
EOF
COPY --from=tools --chown=1:2 --chmod=644 a* <<f /d/
data
f
ADD x y
WORKDIR w
USER u
EXPOSE 80-81/udp
VOLUME /v
CMD c
ENTRYPOINT ["e", "f"]
SHELL ["s", "-c"]
HEALTHCHECK --interval=1s --retries=2 CMD x
STOPSIGNAL 9
ONBUILD RUN z
MAINTAINER me
`
	got := history(mustCompile(t, text, Options{BuildArgs: map[string]string{"https_proxy": "secret"}}))
	want := []string{
		"ARG A=1 B",
		"ARG HTTP_PROXY",
		"ENV X=a Y=b c",
		"LABEL l=1",
		"RUN |3 A=1 B= HTTP_PROXY= /bin/sh -c make   all",
		"RUN |3 A=1 B= HTTP_PROXY= a b",
		"RUN |3 A=1 B= HTTP_PROXY= /bin/sh -c one\ntwo",
		"COPY --chown=1:2 --chmod=644 a* <<f /d/",
		"ADD x y",
		"WORKDIR /w",
		"USER u",
		"EXPOSE [80/udp 81/udp]",
		"VOLUME [/v]",
		`CMD ["/bin/sh" "-c" "c"]`,
		`ENTRYPOINT ["e" "f"]`,
		"SHELL [s -c]",
		`HEALTHCHECK --interval=1s --retries=2 ["CMD-SHELL" "x"]`,
		"STOPSIGNAL 9",
		"ONBUILD RUN z",
		"MAINTAINER me",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestCompile_unkeyed(t *testing.T) {
	o := Options{BuildArgs: map[string]string{"HTTP_PROXY": "p", "NO_PROXY": "n", "no_proxy": "m"}}
	p := mustCompile(t, "FROM base\nRUN x\nARG HTTP_PROXY\nRUN y\n", o)
	run := p.Target.Steps[0].Op.(Run)
	if diff := cmp.Diff([]string{"HTTP_PROXY", "NO_PROXY", "http_proxy", "no_proxy"}, run.Unkeyed); diff != "" {
		t.Error(diff)
	}
	// What the Dockerfile declares itself is an argument like any other.
	run = p.Target.Steps[2].Op.(Run)
	if diff := cmp.Diff([]string{"NO_PROXY", "http_proxy", "no_proxy"}, run.Unkeyed); diff != "" {
		t.Error(diff)
	}
}

func TestCompile_text(t *testing.T) {
	p := mustCompile(t, "FROM triggers\nrun  a \\\n   b\n", Options{})
	if got := p.Target.Steps[0].Text; got != "ONBUILD COPY --from=tools /t /t" {
		t.Error(got)
	}
	last := p.Target.Steps[3]
	if last.Text != "run a b" || last.At.Line != 2 || last.At.Last != 3 {
		t.Errorf("%q %+v", last.Text, last.At)
	}
}

func TestFileName(t *testing.T) {
	for path, want := range map[string]string{
		"/dated.txt": "dated.txt", "/a/b.tar.gz?x=1&y=2": "b.tar.gz", "/a/b#fragment": "b", "/dir/": "dir", "/a%20b%2fc": "c",
		"": "", "/": "", "/?q": "", "/..": "", "/a%00": "", ":x/y": "",
	} {
		if got := fileName("http://h" + path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
