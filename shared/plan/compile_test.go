package plan

import (
	"context"
	"errors"

	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

var _ Bases = (*fakeBases)(nil)

// fakeBases knows images by reference, and counts how often each is asked for.
type fakeBases struct {
	mu      sync.Mutex
	configs map[string]v1.ConfigFile
	asked   map[string]int
}

func (b *fakeBases) Resolve(_ context.Context, ref string, p v1.Platform) (*Image, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked == nil {
		b.asked = map[string]int{}
	}
	b.asked[ref+" "+formatPlatform(p)]++
	cfg, ok := b.configs[ref]
	if !ok {
		return nil, errors.New("manifest unknown")
	}
	if cfg.OS == "" {
		cfg.OS, cfg.Architecture, cfg.Variant = p.OS, p.Architecture, p.Variant
	}
	return &Image{Ref: ref, Platform: p, Config: &cfg}, nil
}

func amd64() v1.Platform { return v1.Platform{OS: "linux", Architecture: "amd64"} }

func bases() *fakeBases {
	return &fakeBases{configs: map[string]v1.ConfigFile{
		"base": {Config: v1.Config{Env: []string{"PATH=/bin"}}},
		"rich": {Author: "them", Config: v1.Config{
			Env:        []string{"PATH=/bin", "A=base"},
			User:       "app",
			WorkingDir: "srv",
			Cmd:        []string{"old"},
			Entrypoint: []string{"/entry"},
			Labels:     map[string]string{"l": "base"},
		}},
		"triggers": {Config: v1.Config{
			Env:     []string{"PATH=/bin"},
			OnBuild: []string{"COPY --from=tools /t /t", "RUN make", "ARG V=1"},
		}},
		"tools":   {},
		"windows": {OS: "windows", Architecture: "amd64"},
		"odd": {Config: v1.Config{
			Env:        []string{"", "=x", "LONE", "K=v=w"},
			WorkingDir: "rel/../dir",
			OnBuild:    []string{""},
		}},
	}}
}

func compile(t *testing.T, text string, o Options) (*Plan, error) {
	t.Helper()
	f, err := dockerfile.Parse("Dockerfile", []byte(text))
	if err != nil {
		return nil, err
	}
	if o.Bases == nil {
		o.Bases = bases()
	}
	if o.BuildPlatform.OS == "" {
		o.BuildPlatform = amd64()
	}
	return Compile(t.Context(), f, o)
}

func mustCompile(t *testing.T, text string, o Options) *Plan {
	t.Helper()
	p, err := compile(t, text, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// plans are Dockerfiles and what they are compiled to. A number in a name is that
// of the trap, in the list of behaviours that builders get wrong.
func TestCompile_plans(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		o    Options
		want string
	}{
		{
			name: "run shell and exec forms",
			text: "FROM base\nRUN make $A\nRUN [\"a\", \"b c\", \"$A\"]\nRUN [not json\n",
			want: `
stage 0 linux/amd64 from base
  2 run ["/bin/sh" "-c" "make $A"] in / env ["PATH=/bin"]
  3 run ["a" "b c" "$A"] in / env ["PATH=/bin"]
  4 run ["/bin/sh" "-c" "[not json"] in / env ["PATH=/bin"]
`,
		},
		{
			name: "51 118 run uses SHELL, exec form does not",
			text: "FROM base\nSHELL [\"/bin/bash\", \"-e\", \"-c\"]\nRUN a && b\nRUN [\"a\"]\n",
			want: `
stage 0 linux/amd64 from base
  2 meta
  3 run ["/bin/bash" "-e" "-c" "a && b"] in / env ["PATH=/bin"]
  4 run ["a"] in / env ["PATH=/bin"]
`,
		},
		{
			name: "54 PATH is given to a base without",
			text: "FROM tools\nRUN x",
			want: `
stage 0 linux/amd64 from tools
  2 run ["/bin/sh" "-c" "x"] in / env ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
`,
		},
		{
			name: "52 environment is ENV and ARG, and base's user and directory hold",
			text: "FROM rich\nARG B=arg\nENV C=env\nRUN x",
			want: `
stage 0 linux/amd64 from rich
  2 meta
  3 meta
  4 run ["/bin/sh" "-c" "x"] in /srv as app env ["PATH=/bin" "A=base" "B=arg" "C=env"]
`,
		},
		{
			name: "77 heredoc is the script",
			text: "FROM base\nRUN <<EOF\necho $A\nexit 0\nEOF\nRUN <<-'E'\n\tone\n\t\ttwo\nE\n",
			want: `
stage 0 linux/amd64 from base
  2 run ["/bin/sh" "-c" "echo $A\nexit 0\n"] in / env ["PATH=/bin"]
  6 run ["/bin/sh" "-c" "one\ntwo\n"] in / env ["PATH=/bin"]
`,
		},
		{
			name: "77 heredoc with shebang is a file",
			text: "FROM base\nRUN <<EOF\n#!/usr/bin/python3\nprint(1)\nEOF\n",
			want: `
stage 0 linux/amd64 from base
  2 run ["/bin/sh" "-c" "/dev/pipes/EOF"] in / with /dev/pipes/EOF 0755 "#!/usr/bin/python3\nprint(1)\n" env ["PATH=/bin"]
`,
		},
		{
			name: "77 heredocs that a command reads are left to the shell",
			text: "FROM base\nRUN <<EOF python3\nprint(1)\nEOF\nRUN <<A cat <<B\na\nA\nb\nB\n",
			want: `
stage 0 linux/amd64 from base
  2 run ["/bin/sh" "-c" "<<EOF python3\nprint(1)\nEOF"] in / env ["PATH=/bin"]
  5 run ["/bin/sh" "-c" "<<A cat <<B\na\nA\nb\nB"] in / env ["PATH=/bin"]
`,
		},
		{
			name: "2 3 14 destinations",
			text: "FROM base\nWORKDIR /w\nARG E=\nENV D=d\nCOPY a b\nCOPY a b/\nCOPY a .\nCOPY a $D/.\nCOPY a ..\nCOPY a /x/../y\nCOPY a \"$E\"\nCOPY a b ./\n",
			want: `
stage 0 linux/amd64 from base
  2 dir /w
  3 meta
  4 meta
  5 copy "a" to /w/b
  6 copy "a" to /w/b (directory)
  7 copy "a" to /w (directory)
  8 copy "a" to /w/d (directory)
  9 copy "a" to / (directory)
  10 copy "a" to /y
  11 copy "a" to /w (directory)
  12 copy "a" "b" to /w (directory)
`,
		},
		{
			name: "22 24 chown and chmod, expanded",
			text: "FROM base\nARG U=app M=0644\nCOPY --chown=$U:1 --chmod=$M a /\nADD --chown=:g --chmod=7777 a.tar /\nCOPY --chmod=0 a /\n",
			want: `
stage 0 linux/amd64 from base
  2 meta
  3 copy "a" to / (directory) chown app:1 chmod 0644
  4 add "a.tar" to / (directory) chown :g chmod 7777
  5 copy "a" to / (directory) chmod 0
`,
		},
		{
			name: "26 27 48 49 50 options of COPY and ADD",
			text: "FROM base\nARG X=x\nCOPY --link --parents --exclude=*.$X --exclude=y a/./b /d/\n" +
				"ADD --checksum=sha256:$X --unpack https://h/$X.tar /\nADD --keep-git-dir=true git@h:r.git#v1 /src\n" +
				"ADD --unpack=false a.tar https://h/b /\n",
			want: `
stage 0 linux/amd64 from base
  2 meta
  3 copy "a/./b" to /d (directory) parents link exclude "*.x" exclude "y"
  4 add url "https://h/x.tar" checksum sha256:x unpack to / (directory)
  5 add repository "git@h:r.git#v1" with .git to /src
  6 copy "a.tar" url "https://h/b" to / (directory)
`,
		},
		{
			name: "72 73 74 75 mounts",
			text: "FROM base AS b\nFROM base\nARG T=/t\nWORKDIR /w\nRUN --mount=target=. --mount=type=bind,from=b,src=/s,dst=$T,rw --network=none a\n" +
				"RUN --mount=type=cache,target=/c --mount=type=cache,id=x,target=c/d,sharing=locked,uid=1,gid=2,mode=0700 a\n" +
				"RUN --mount=type=secret,id=s --mount=type=secret,target=/k,required --mount=type=secret,id=e,env=E a\n" +
				"RUN --mount=type=ssh --mount=type=ssh,id=k,required=true a\nRUN --mount=type=tmpfs,target=/t,size=1m a\n",
			want: `
stage 0 b linux/amd64 from base
stage 1 linux/amd64 from base
  3 meta
  4 dir /w
  5 run ["/bin/sh" "-c" "a"] in /w offline mount bind at /w read-only mount bind from stage 0 "/s" at /t env ["PATH=/bin" "T=/t"]
  6 run ["/bin/sh" "-c" "a"] in /w mount cache id "/c" at /c shared 0755 0:0 mount cache id "x" at /w/c/d locked 0700 1:2 env ["PATH=/bin" "T=/t"]
  7 run ["/bin/sh" "-c" "a"] in /w mount secret id "s" at /run/secrets/s 0400 0:0 read-only mount secret id "k" at /k 0400 0:0 read-only required mount secret id "e" as $E 0400 0:0 read-only env ["PATH=/bin" "T=/t"]
  8 run ["/bin/sh" "-c" "a"] in /w mount ssh id "default" at /run/buildkit/ssh_agent.0 0600 0:0 read-only mount ssh id "k" at /run/buildkit/ssh_agent.1 0600 0:0 read-only required env ["PATH=/bin" "T=/t" "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"]
  9 run ["/bin/sh" "-c" "a"] in /w mount tmpfs at /t of 1048576 bytes env ["PATH=/bin" "T=/t"]
`,
		},
		{
			name: "110 named contexts go before stages and images",
			text: "FROM base AS a\nRUN never\nFROM docker.io/library/tools:latest AS b\nFROM files\nCOPY --from=a /x /\nCOPY --from=base /y /\nRUN --mount=from=src,target=/s z\n",
			o: Options{Contexts: map[string]Context{
				"A": {Image: "tools"}, "tools": {Image: "base"}, "files": {}, "src": {},
			}},
			want: `
stage 2 linux/amd64 from scratch
  4 copy from context files "." to / (directory)
  5 copy from tools "/x" to / (directory)
  6 copy from base "/y" to / (directory)
  7 run ["/bin/sh" "-c" "z"] in / mount bind from context src at /s read-only env ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
`,
		},
		{
			name: "38 heredoc files",
			text: "FROM base\nENV A=1\nCOPY <<f <<\"q\" x /d/\n$A '$A' \"\\$A\"\nf\n$A\nq\nADD --chmod=755 <<-s /s\n\ttab\ns\n",
			want: `
stage 0 linux/amd64 from base
  2 meta
  3 copy "x" <<f "1 '1' \"$A\"\n" <<q "$A\n" to /d (directory)
  8 add <<s "tab\n" to /s chmod 755
`,
		},
		{
			name: "39 JSON form",
			text: "FROM base\nCOPY [\"a b\", \"c\", \"/d e/\"]\n",
			want: `
stage 0 linux/amd64 from base
  2 copy "a b" "c" to /d e (directory)
`,
		},
		{
			name: "101 global ARG must be declared again",
			text: "ARG V=1\nFROM base\nCOPY a$V /\nARG V\nCOPY a$V /\nARG V=2\nCOPY a$V /\n",
			want: `
stage 0 linux/amd64 from base
  3 copy "a" to / (directory)
  4 meta
  5 copy "a1" to / (directory)
  6 meta
  7 copy "a2" to / (directory)
warning Dockerfile:3: UndefinedVar: $V is used, but no ENV or ARG sets it
`,
		},
		{
			name: "102 several ARGs, empty and unset",
			text: "FROM base\nARG A=1 B=$A\nARG X= Y\nRUN x",
			want: `
stage 0 linux/amd64 from base
  2 meta
  3 meta
  4 run ["/bin/sh" "-c" "x"] in / env ["PATH=/bin" "A=1" "B=1" "X="]
`,
		},
		{
			name: "103 the later of ENV and ARG wins, also over a build argument",
			text: "FROM base\nARG A=arg\nENV A=env\nRUN x\nFROM base\nENV A=env\nARG A=arg\nRUN x\nFROM 0",
			o:    Options{BuildArgs: map[string]string{"A": "given"}, Target: "0"},
			want: `
stage 0 linux/amd64 from base
  2 meta
  3 meta
  4 run ["/bin/sh" "-c" "x"] in / env ["PATH=/bin" "A=env"]
`,
		},
		{
			name: "103 ARG reaches stages on top, but not others",
			text: "FROM base AS a\nARG V=1\nFROM a AS b\nRUN x\nFROM base\nCOPY --from=b /x /x\nRUN y",
			want: `
stage 0 a linux/amd64 from base
  2 meta
stage 1 b linux/amd64 from stage 0
  4 run ["/bin/sh" "-c" "x"] in / env ["PATH=/bin" "V=1"]
stage 2 linux/amd64 from base
  6 copy from stage 1 "/x" to /x
  7 run ["/bin/sh" "-c" "y"] in / env ["PATH=/bin"]
`,
		},
		{
			name: "104 modifiers, escapes and quotes",
			text: "FROM base\nENV A=v E=\nCOPY ${A:-d} ${N:-d} ${E:-d} ${E-d} ${A:+p} ${N+p}. '$A' \\$A ${A/v/w} /\n",
			want: `
stage 0 linux/amd64 from base
  2 meta
  3 copy "v" "d" "d" "" "p" "." "$A" "$A" "w" to / (directory)
warning Dockerfile:3: UndefinedVar: $N is used, but no ENV or ARG sets it
warning Dockerfile:3: UndefinedVar: $N is used, but no ENV or ARG sets it
`,
		},
		{
			name: "104 another escape character",
			text: "# escape=`\nFROM base\nENV A=v\nCOPY `$A c:\\x /\n",
			want: `
stage 0 linux/amd64 from base
  3 meta
  4 copy "$A" "c:\\x" to / (directory)
`,
		},
		{
			name: "107 proxies reach RUN in both cases, declared or not",
			text: "FROM base\nRUN x\nENV https_proxy=mine\nRUN y",
			o:    Options{BuildArgs: map[string]string{"HTTP_PROXY": "p", "https_proxy": "q", "No_Proxy": "odd"}},
			want: `
stage 0 linux/amd64 from base
  2 run ["/bin/sh" "-c" "x"] in / env ["PATH=/bin" "HTTP_PROXY=p" "http_proxy=p" "https_proxy=q" "HTTPS_PROXY=q"]
  3 meta
  4 run ["/bin/sh" "-c" "y"] in / env ["PATH=/bin" "https_proxy=mine" "HTTP_PROXY=p" "http_proxy=p" "HTTPS_PROXY=q"]
warning Dockerfile: UnusedBuildArg: build argument No_Proxy was given, but no ARG declares it
`,
		},
		{
			name: "109 stage names in any case, by number, and over images",
			text: "FROM base AS Tools\nRUN x\nFROM tools AS second\nFROM base\nCOPY --from=TOOLS /a /a\nCOPY --from=1 /b /b\n",
			want: `
stage 0 Tools linux/amd64 from base
  2 run ["/bin/sh" "-c" "x"] in / env ["PATH=/bin"]
stage 1 second linux/amd64 from stage 0
stage 2 linux/amd64 from base
  5 copy from stage 0 "/a" to /a
  6 copy from stage 1 "/b" to /b
warning Dockerfile:1: StageNameCasing: stage name "Tools" has capital letters: write tools, since names of stages are the same in any case
`,
		},
		{
			name: "109 a stage may have its own base's name",
			text: "FROM base AS base\nFROM base\nRUN x",
			want: `
stage 0 base linux/amd64 from base
stage 1 linux/amd64 from stage 0
  3 run ["/bin/sh" "-c" "x"] in / env ["PATH=/bin"]
`,
		},
		{
			name: "109 of equal names the last before counts",
			text: "FROM base AS s\nFROM tools AS s\nFROM scratch\nCOPY --from=s /a /a\n",
			want: `
stage 1 s linux/amd64 from tools
stage 2 linux/amd64 from scratch
  4 copy from stage 1 "/a" to /a
warning Dockerfile:2: DuplicateStageName: stage name "s" is already used at Dockerfile:1
`,
		},
		{
			name: "110 copy from an image",
			text: "FROM scratch\nCOPY --from=tools /t /t\n",
			want: `
stage 0 linux/amd64 from scratch
  2 copy from tools "/t" to /t
`,
		},
		{
			name: "111 112 stages that the target does not need are left out",
			text: "FROM base AS a\nFROM nowhere AS b\nFROM a AS c\nRUN x\nFROM b\n",
			o:    Options{Target: "C"},
			want: `
stage 0 a linux/amd64 from base
stage 2 c linux/amd64 from stage 0
  4 run ["/bin/sh" "-c" "x"] in / env ["PATH=/bin"]
`,
		},
		{
			name: "113 triggers of an image run right after FROM",
			text: "FROM triggers\nRUN x$V",
			want: `
stage 0 linux/amd64 from triggers
  1 copy from tools "/t" to /t
  1 run ["/bin/sh" "-c" "make"] in / env ["PATH=/bin"]
  1 meta
  2 run ["/bin/sh" "-c" "x$V"] in / env ["PATH=/bin" "V=1"]
`,
		},
		{
			name: "113 triggers of a stage, which may bring in further stages",
			text: "FROM base AS src\nFROM base AS on\nONBUILD COPY --from=src /a /a\nONBUILD RUN <<E\nhi\nE\nFROM on AS x\nFROM x\n",
			want: `
stage 0 src linux/amd64 from base
stage 1 on linux/amd64 from base
  3 meta
  4 meta
stage 2 x linux/amd64 from stage 1
  7 copy from stage 0 "/a" to /a
  7 run ["/bin/sh" "-c" "hi\n"] in / env ["PATH=/bin"]
stage 3 linux/amd64 from stage 2
`,
		},
		{
			name: "117 chain of WORKDIRs, and the user who owns them",
			text: "FROM base\nWORKDIR /a\nUSER app:g\nWORKDIR b/../c\nENV D=/x\nWORKDIR $D/y\nWORKDIR /\nWORKDIR rel\n",
			want: `
stage 0 linux/amd64 from base
  2 dir /a
  3 meta
  4 dir /a/c as app:g
  5 meta
  6 dir /x/y as app:g
  7 meta
  8 dir /rel as app:g
`,
		},
		{
			name: "100 a base's odd config does no harm",
			text: "FROM odd\nRUN x",
			want: `
stage 0 linux/amd64 from odd
  2 run ["/bin/sh" "-c" "x"] in /dir env ["LONE=" "K=v=w" "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
`,
		},
		{
			name: "platform arguments, in FROM and in a stage",
			text: "FROM --platform=$BUILDPLATFORM base AS b\nARG TARGETARCH TARGETPLATFORM BUILDPLATFORM TARGETSTAGE\nRUN x\nFROM base AS out\nCOPY --from=b / /\n",
			o:    Options{TargetPlatform: v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}},
			want: `
stage 0 b linux/amd64 from base
  2 meta
  3 run ["/bin/sh" "-c" "x"] in / env ["PATH=/bin" "TARGETARCH=arm64" "TARGETPLATFORM=linux/arm64" "BUILDPLATFORM=linux/amd64" "TARGETSTAGE=out"]
stage 1 out linux/arm64 from base
  5 copy from stage 0 "/" to / (directory)
`,
		},
		{
			name: "FROM with ARGs, defaults and nested ones",
			text: "ARG N=ba\nARG IMG=${N}se\nFROM $IMG AS a\nFROM ${OTHER:-tools}\nCOPY --from=a /x /x\n",
			want: `
stage 0 a linux/amd64 from base
stage 1 linux/amd64 from tools
  5 copy from stage 0 "/x" to /x
warning Dockerfile:4: UndefinedArgInFrom: FROM uses $OTHER, which no ARG before the first FROM declares
`,
		},
		{
			name: "122 CRLF, BOM, comments and continuation",
			text: "\ufeff# escape=`\r\nFROM base\r\nRUN a `\r\n  # no\r\n  b\r\n",
			want: `
stage 0 linux/amd64 from base
  3 run ["/bin/sh" "-c" "a   b"] in / env ["PATH=/bin"]
`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustCompile(t, c.text, c.o)
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if p.Target != p.Stages[len(p.Stages)-1] {
				t.Error("the target is not the last stage")
			}
		})
	}
}

func history(p *Plan) (out []string) {
	for _, s := range p.Target.Steps {
		out = append(out, s.CreatedBy)
	}
	return out
}
