package plan

import (
	"context"
	"errors"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

func TestCompile_errors(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		o    Options
		want string
	}{
		{"4 several sources to a file", "FROM base\nCOPY a b /c", Options{}, "Dockerfile:2: COPY: several sources need a destination that ends in a slash"},
		{"4 a source and a heredoc to a file", "FROM base\nCOPY a <<f /c\nf\n", Options{}, "Dockerfile:2: COPY: several sources need"},
		{"24 mode too large", "FROM base\nARG M=10000\nCOPY --chmod=$M a /", Options{}, "Dockerfile:3: COPY: --chmod=10000: not an octal number between 0 and 07777"},
		{"24 mode not octal", "FROM base\nARG M=89\nCOPY --chmod=$M a /", Options{}, "Dockerfile:3: COPY: --chmod=89: not an octal"},
		{"24 no mode", "FROM base\nARG M=u~x\nCOPY --chmod=$M a /", Options{}, "Dockerfile:3: COPY: --chmod=u~x: not an octal number between 0 and 07777, nor symbolic as u=rwX,go=rX"},
		{"49 checksum of a local file", "FROM base\nADD --checksum=sha256:00 a /", Options{}, "Dockerfile:2: ADD --checksum: there must be one source"},
		{"49 checksum of several", "FROM base\nADD --checksum=sha256:00 http://a/b http://a/c /", Options{}, "Dockerfile:2: ADD --checksum: there must be one source"},
		{"75 one target twice", "FROM base\nRUN --mount=type=cache,target=/a --mount=type=tmpfs,target=/b/../a x", Options{}, "Dockerfile:2: RUN: --mount=type=tmpfs: /a is the target of another mount already"},
		{"75 target of the root", "FROM base\nRUN --mount=type=cache,target=/. x", Options{}, "Dockerfile:2: RUN: --mount=type=cache: the root itself"},
		{"75 no target", "FROM base\nRUN --mount=type=cache x", Options{}, "Dockerfile:2: RUN --mount=type=cache: target is missing"},
		{"75 no such type", "FROM base\nRUN --mount=type=cash,target=/a x", Options{}, "Dockerfile:2: RUN --mount: unsupported mount type"},
		{"111 mount of a later stage", "FROM base\nRUN --mount=from=b,target=/a x\nFROM base AS b", Options{}, "Dockerfile:2: RUN --mount=from=b: that stage comes later"},
		{"URL in a variable of COPY", "FROM base\nARG U=https://x/y\nCOPY $U /", Options{}, "Dockerfile:3: COPY cannot copy a URL: https://x/y"},
		{"COPY of a URL", "FROM base\nARG U=https://x/y\nCOPY $U /", Options{}, "Dockerfile:3: COPY cannot copy a URL"},
		{"104 :?", "FROM base\nRUN a\nCOPY ${X:?give X} /", Options{}, `Dockerfile:3: COPY: expand "${X:?give`},
		{"104 ? in FROM", "FROM ${X?}", Options{}, `Dockerfile:1: FROM: expand "${X?}": X: is not allowed to be unset`},
		{"bad substitution", "FROM base\nENV A=${}", Options{}, "Dockerfile:2: ENV: expand"},
		{"FROM empties", "ARG X\nFROM $X", Options{}, "Dockerfile:2: FROM $X: the name of the base is empty"},
		{"109 later stage", "FROM base\nCOPY --from=b /a /a\nFROM base AS b", Options{}, "Dockerfile:2: COPY --from=b: that stage comes later, at Dockerfile:3"},
		{"109 later stage by number", "FROM base\nCOPY --from=1 /a /a\nFROM base AS b", Options{}, "Dockerfile:2: COPY --from=1: that stage comes later"},
		{"109 itself", "FROM base AS b\nCOPY --from=B /a /a\n", Options{}, "Dockerfile:2: COPY --from=B: a stage cannot take files from itself"},
		{"109 itself by number", "FROM base\nCOPY --from=0 /a /a\n", Options{}, "Dockerfile:2: COPY --from=0: a stage cannot take files from itself"},
		{"109 no such number", "FROM base\nFROM base\nCOPY --from=7 /a /a\n", Options{}, "Dockerfile:3: COPY --from=7: there is no such stage, they go from 0 to 1"},
		{"111 also in a stage that is not needed", "FROM base AS x\nCOPY --from=9 /a /a\nFROM base", Options{}, "Dockerfile:2: COPY --from=9: there is no such stage"},
		{"copy from scratch", "FROM base\nCOPY --from=scratch / /", Options{}, "Dockerfile:2: COPY --from=scratch: scratch has no files"},
		{"112 target names stages", "FROM base AS One\nFROM base AS two\nFROM base", Options{Target: "three"}, `Dockerfile: there is no stage "three" (the stages are One, two)`},
		{"112 target without names", "FROM base\nFROM base", Options{Target: "2"}, `Dockerfile: there is no stage "2" (the Dockerfile names no stage; the last one has number 1)`},
		{"unknown image", "FROM base\nFROM nowhere", Options{}, "Dockerfile:2: FROM nowhere: manifest unknown"},
		{"unknown image to copy from", "FROM base\nCOPY --from=nowhere / /", Options{}, "Dockerfile:2: COPY --from=nowhere: manifest unknown"},
		{"windows base", "FROM windows", Options{}, "Dockerfile:1: FROM windows: images for Windows cannot be built here"},
		{"windows platform", "FROM --platform=windows/amd64 base", Options{}, "Dockerfile:1: FROM base: images for Windows cannot be built here"},
		{"platform", "FROM --platform=a/b/c/d base", Options{}, `Dockerfile:1: FROM --platform=a/b/c/d: platform "a/b/c/d" is not of the form`},
		{"empty platform", "FROM --platform=$X base", Options{}, `Dockerfile:1: FROM --platform=$X: platform "" is not of the form`},
		{"signal", "FROM base\nSTOPSIGNAL SIGNOPE", Options{}, `Dockerfile:2: STOPSIGNAL: signal "SIGNOPE" is not known`},
		{"signal number", "FROM base\nSTOPSIGNAL 65", Options{}, "Dockerfile:2: STOPSIGNAL: signal 65 is not between 1 and 64"},
		{"port", "FROM base\nEXPOSE 80-70", Options{}, `Dockerfile:2: EXPOSE: port "80-70": not a number from 0 to 65535`},
		{"port too large", "FROM base\nEXPOSE 65536", Options{}, `Dockerfile:2: EXPOSE: port "65536": not a number`},
		{"protocol", "FROM base\nEXPOSE 80/http", Options{}, `Dockerfile:2: EXPOSE: port "80/http": the protocol`},
		{"empty volume", "FROM base\nVOLUME $X", Options{}, `Dockerfile:2: VOLUME: the path "$X" expands to nothing`},
		{"empty name", "FROM base\nENV $X=1", Options{}, `Dockerfile:2: ENV: the name "$X" expands to nothing`},
		{"name with =", "FROM base\nENV A==\nENV $A=1", Options{}, `Dockerfile:3: ENV: the name "=" contains "="`},
		{"heredoc name", "FROM base\nRUN <<a/b\n#!/bin/x\na/b\n", Options{}, `Dockerfile:2: RUN: a heredoc's word becomes a file name: "a/b" cannot be one`},
		{"warnings are errors", "# check=error=true\nFROM base\nENV a b\n", Options{}, `Dockerfile:3: LegacyKeyValueFormat: ENV without "=" is an old form`},
		{"refused option in a stage's trigger", "FROM base AS b\nONBUILD RUN --device=x a\nFROM b\n", Options{}, "Dockerfile:3: ONBUILD: RUN --device is not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := compile(t, c.text, c.o)
			if err == nil {
				t.Fatalf("no error:\n%s", p)
			}
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s…", err, c.want)
			}
			var e *dockerfile.Error
			if !errors.As(err, &e) {
				t.Errorf("%T has no place", err)
			}
		})
	}
}

// Triggers of a base are refused like instructions of the file, before anything runs.
func TestCompile_refusedTrigger(t *testing.T) {
	for trigger, want := range map[string]string{
		"RUN --device=d x":    "Dockerfile:2: ONBUILD: RUN --device is not supported",
		"ONBUILD RUN x":       "Dockerfile:2: ONBUILD ONBUILD RUN x: ONBUILD cannot be a trigger",
		"FROM x":              "Dockerfile:2: ONBUILD FROM x: FROM cannot be a trigger",
		"NOPE":                "Dockerfile:2: ONBUILD: unknown instruction: NOPE",
		"RUN a\nRUN b":        "Dockerfile:2: ONBUILD RUN a\nRUN b: more than one instruction",
		"# only a comment":    "Dockerfile:2: ONBUILD # only a comment: file with no instructions",
		"RUN \x00":            `Dockerfile:2: ONBUILD "RUN \x00": not UTF-8 text`,
		"COPY --from=0 /a /a": "Dockerfile:2: COPY --from=0: a stage cannot take files from itself",
	} {
		b := bases()
		b.configs["base"] = v1.ConfigFile{Config: v1.Config{OnBuild: []string{trigger}}}
		_, err := compile(t, "# line\nFROM base\n", Options{Bases: b})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", trigger, err, want)
		}
	}
}

func TestCompile_resolvesOnce(t *testing.T) {
	b := bases()
	mustCompile(t, "FROM --platform=linux/arm64 base AS x\nFROM base AS a\nFROM base AS b\nCOPY --from=tools / /\nFROM base\nCOPY --from=tools / /\nCOPY --from=a / /\nCOPY --from=b / /\nCOPY --from=x / /\n", Options{Bases: b})
	want := map[string]int{"base linux/amd64": 1, "base linux/arm64": 1, "tools linux/amd64": 1}
	if diff := cmp.Diff(want, b.asked); diff != "" {
		t.Error(diff)
	}
}

// A fault anywhere in the file is found before any image is asked for.
func TestCompile_checksBeforeResolving(t *testing.T) {
	b := bases()
	if _, err := compile(t, "FROM base AS unused\nCOPY --from=9 a /\nFROM base\n", Options{Bases: b}); err == nil {
		t.Fatal("no error")
	}
	if len(b.asked) != 0 {
		t.Errorf("asked for %v", b.asked)
	}
}

func TestCompile_cancelled(t *testing.T) {
	f, err := dockerfile.Parse("Dockerfile", []byte("FROM base"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Compile(ctx, f, Options{Bases: waiting{}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

var _ Bases = waiting{}

// waiting resolves nothing until it is told to stop.
type waiting struct{}

func (waiting) Resolve(ctx context.Context, _ string, _ v1.Platform) (*Image, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestCompile_warnings(t *testing.T) {
	for text, want := range map[string]string{
		"ENV A b":                           `LegacyKeyValueFormat: ENV without "=" is an old form: write key=value`,
		"CMD a\nCMD [\"b\"]\nSHELL [\"x\"]": "JSONArgsRecommended: CMD in shell form: signals reach the shell and not the command; write a JSON list",
		"CMD [\"a\"]\nCMD [\"b\"]":          "MultipleInstructionsDisallowed: this CMD has no effect: only the last one of a stage counts",
		"WORKDIR a":                         "WorkdirRelativePath: WORKDIR a depends on the base's working directory: write an absolute path",
		"ENV DB_PASSWORD=x":                 "SecretsUsedInArgOrEnv: ENV DB_PASSWORD sounds like a secret, and anyone with the image can read it",
		"ARG api_key":                       "SecretsUsedInArgOrEnv: ARG api_key sounds like a secret, and anyone with the image can read it",
		"EXPOSE 1:2":                        "ExposeInvalidFormat: EXPOSE 1:2: an image cannot say anything of the host, only the container's port counts",
		"USER $NOPE":                        "UndefinedVar: $NOPE is used, but no ENV or ARG sets it",
		// No warning.
		"ENV PUBLIC_KEY=x\nARG TOKEN_FILE":                "",
		"WORKDIR /a\nWORKDIR b":                           "",
		"ARG U\nUSER x$U":                                 "",
		"# check=skip=UndefinedVar\nUSER x$U":             "",
		"SHELL [\"a\", \"-c\"]\nCMD x\nRUN echo $HOME $U": "",
	} {
		p := mustCompile(t, "FROM base\n"+text+"\n", Options{})
		got := ""
		if len(p.Warnings) > 0 {
			_, got, _ = strings.Cut(p.Warnings[0].String(), ": ")
		}
		if got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
	p := mustCompile(t, "# check=skip=all\nFROM base\nCMD a\nCMD b\nUSER $x\n", Options{})
	if len(p.Warnings) != 0 {
		t.Error(p.Warnings)
	}
}

func TestParsePlatform(t *testing.T) {
	def := v1.Platform{OS: "linux", Architecture: "amd64"}
	for in, want := range map[string]string{
		"linux/amd64":    "linux/amd64",
		"linux":          "linux/amd64",
		"arm64":          "linux/arm64",
		"linux/arm64/v8": "linux/arm64",
		"Linux/aarch64":  "linux/arm64",
		"linux/arm":      "linux/arm/v7",
		"linux/arm/v6":   "linux/arm/v6",
		"armhf":          "linux/arm/v7",
		"x86_64":         "linux/amd64",
		"linux/riscv64":  "linux/riscv64",
		"macos/arm64":    "darwin/arm64",
		"linux/amd64/v3": "linux/amd64/v3",
	} {
		p, err := ParsePlatform(in, def)
		if err != nil || formatPlatform(p) != want {
			t.Errorf("%s: got %s, %v, want %s", in, formatPlatform(p), err, want)
		}
	}
	for _, in := range []string{"", "/", "linux/", "a/b/c/d", "linux/am d64", "$X"} {
		if p, err := ParsePlatform(in, def); err == nil {
			t.Errorf("%q: %v", in, p)
		}
	}
}

func TestCheckSignal(t *testing.T) {
	for _, s := range []string{"9", "SIGTERM", "term", "HUP", "RTMIN", "SIGRTMIN+3", "RTMAX-1", "64"} {
		if err := checkSignal(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "0", "-1", "65", "SIG", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMIN+", "TERMINATE"} {
		if checkSignal(s) == nil {
			t.Errorf("%q is taken for a signal", s)
		}
	}
}

// FuzzCompile holds that no Dockerfile and no base config makes a panic.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"FROM base\nRUN x\nCOPY a b /c/\n",
		"ARG A=${B:-x}\nFROM $A AS a\nONBUILD COPY --from=0 /a /b\nFROM a\nCOPY --from=a <<E <<'F' /d/\n$A\nE\n\\$\nF\n",
		"# escape=`\nFROM rich\nENV a=`$b c d\nEXPOSE 1-2/udp $a\nWORKDIR ../..\n",
		"FROM triggers\nENTRYPOINT [\"\"]\nHEALTHCHECK --interval=1s CMD\nLABEL a\n",
		"FROM odd\nRUN <<-E\n#!/x\nE\nVOLUME []\nSHELL []\n",
		"FROM base AS a\nARG A\nFROM files\nRUN --mount=target=$A,from=a,src=/x,rw --mount=type=cache,target=c,id=$A,sharing=locked,mode=0700 --network=none x\n",
		"FROM base\nRUN --mount=type=secret,id=a,env=B,required --mount=type=ssh --mount=type=tmpfs,target=/t,size=1k --mount=type=secret,target=/k x\n",
		"FROM base\nCOPY --link --parents --exclude=** --chmod=u=rwX,g-w a/./b /c/\nADD --checksum=sha256:00 --unpack=false http://h/x?y#z /\nADD --keep-git-dir git@h:r.git#b:d /\nCOPY --from=files . .\n",
		"FROM base\nARG A=a/b/c\nUSER ${A#*/}${A##*/}${A%/*}${A%%/*}${A/\\//x}${A//b/}\n",
	} {
		f.Add(seed, "RUN x")
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, text, trigger string) {
		parsed, err := dockerfile.Parse("Dockerfile", []byte(text))
		if err != nil {
			return
		}
		b := bases()
		b.configs["base"] = v1.ConfigFile{Config: v1.Config{OnBuild: []string{trigger}, Env: []string{trigger}, WorkingDir: trigger}}
		p, err := Compile(t.Context(), parsed, Options{Bases: b, BuildPlatform: amd64(), BuildArgs: map[string]string{"A": trigger}, Contexts: map[string]Context{"files": {}, "tools": {Image: "base"}}})
		if err != nil {
			var e *dockerfile.Error
			if !errors.As(err, &e) {
				t.Errorf("%T has no place: %v", err, err)
			}
			return
		}
		if p.String() == "" || p.Target == nil {
			t.Error("an empty plan")
		}
	})
}
