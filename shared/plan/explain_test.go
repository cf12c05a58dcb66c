package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func hash(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }

func key(c string) cachekey.Key { return cachekey.Key(strings.Repeat(c, 64)) }

func regular(path, digit string) plan.File {
	return plan.File{
		Entry:  tree.Entry{Path: tree.Path(path), Node: tree.Node{Type: tree.File, Mode: 0o644}},
		Digest: hash(digit).String(),
	}
}

func chmod(t *testing.T, s string) *dockerfile.ModeChange {
	t.Helper()
	m, err := dockerfile.ParseMode(s)
	if err != nil {
		t.Fatal(err)
	}
	return &m
}

// ran and copied are steps in which there is something of everything.
func ran() (plan.Run, plan.Inputs) {
	op := plan.Run{
		Args:  []string{"/bin/sh", "-c", "make all"},
		Env:   []string{"PATH=/bin", "VERSION=1", "NPM_TOKEN=one"},
		Dir:   "/src",
		User:  "build",
		Files: []sandbox.File{{Name: "EOF", Mode: 0o755, Data: "#!/bin/sh\n"}},
		Mounts: []plan.Mount{
			{Type: dockerfile.MountBind, Target: "/in", Source: "in", ReadOnly: true},
			{Type: dockerfile.MountCache, Target: "/cache", ID: "c", Sharing: dockerfile.SharingLocked, Mode: 0o755},
			{Type: dockerfile.MountSecret, Target: "/run/secrets/s", ID: "s", Env: "S", Mode: 0o400},
			{Type: dockerfile.MountTmpfs, Target: "/t", Size: 1},
		},
	}
	return op, plan.Inputs{
		Below:    plan.Identity{Image: hash("1")},
		Readings: []plan.Reading{{Listed: true, Files: []plan.File{regular("in/a", "a")}}},
		Platform: v1.Platform{OS: "linux", Architecture: "amd64"},
		Clamp:    time.Unix(0, 0),
	}
}

func copied(t *testing.T) (plan.Copy, plan.Inputs) {
	keep := true
	op := plan.Copy{
		Sources: []string{"src", "*.txt"},
		Remotes: []plan.Remote{
			{URL: "https://example.com/tool", Name: "tool"},
			{URL: "https://example.com/r.git", Git: true, KeepGitDir: &keep, Checksum: "0123"},
		},
		Inline: []plan.Inline{{Name: "conf", Data: "a=1"}},
		Dest:   "/app", DestDir: true, Chown: "app", Chmod: chmod(t, "755"), Exclude: []string{"*.md"},
	}
	link := plan.File{Entry: tree.Entry{Path: "src/link", Node: tree.Node{Type: tree.Symlink, Mode: 0o777, Link: "a"}}}
	hard := regular("src/main.go", "b")
	hard.Path, hard.Hard = "src/same.go", "src/main.go"
	attributes := regular("src/run", "c")
	attributes.Node.Xattrs = tree.Xattrs{"security.capability": "x"}
	return op, plan.Inputs{
		Below: plan.Identity{Step: key("2")},
		Readings: []plan.Reading{
			{
				Listed: true, Owners: true,
				Files: []plan.File{
					{Entry: tree.Entry{Path: "src", Node: tree.Node{Type: tree.Dir, Mode: 0o755}}},
					link, regular("src/main.go", "b"), attributes, hard,
					{Entry: tree.Entry{Path: "src/tty", Node: tree.Node{Type: tree.CharDevice, Mode: 0o600, Dev: tree.Dev{Major: 5}}}},
				},
			},
			{Listed: true, Files: []plan.File{regular("tool", "d")}},
			{From: plan.Identity{Image: hash("e")}},
		},
	}
}

func TestExplain_run(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*plan.Run, *plan.Inputs)
		want   string // sentences, joined
	}{
		"command":        {func(op *plan.Run, _ *plan.Inputs) { op.Args[2] = "make install" }, "the command changed: \"make all\" → \"make install\""},
		"other form":     {func(op *plan.Run, _ *plan.Inputs) { op.Args = []string{"make"} }, "the command changed: /bin/sh -c \"make all\" → make"},
		"base image":     {func(_ *plan.Run, in *plan.Inputs) { in.Below.Image = hash("9") }, "base image changed: sha256:111111111111… → sha256:999999999999…"},
		"no base image":  {func(_ *plan.Run, in *plan.Inputs) { in.Below = plan.Identity{} }, "base image changed: sha256:111111111111… → scratch"},
		"a step before":  {func(_ *plan.Run, in *plan.Inputs) { in.Below.Step = key("5") }, "what comes before changed: image sha256:111111111111… → step sha256:555555555555…"},
		"variable":       {func(op *plan.Run, _ *plan.Inputs) { op.Env[1] = "VERSION=2" }, "variable VERSION: 1 → 2"},
		"emptied":        {func(op *plan.Run, _ *plan.Inputs) { op.Env[1] = "VERSION=" }, `variable VERSION: 1 → ""`},
		"secret":         {func(op *plan.Run, _ *plan.Inputs) { op.Env[2] = "NPM_TOKEN=two" }, "variable NPM_TOKEN changed (its value is not shown)"},
		"password":       {func(op *plan.Run, _ *plan.Inputs) { op.Env[1] = "VERSION=http://a:hunter2@b" }, "variable VERSION changed (its value is not shown)"},
		"new variable":   {func(op *plan.Run, _ *plan.Inputs) { op.Env = append(op.Env, "X=1") }, "variable X is new"},
		"no variable":    {func(op *plan.Run, _ *plan.Inputs) { op.Env = op.Env[:2] }, "variable NPM_TOKEN is gone"},
		"directory":      {func(op *plan.Run, _ *plan.Inputs) { op.Dir = "/" }, "the working directory changed: /src → /"},
		"user":           {func(op *plan.Run, _ *plan.Inputs) { op.User = "" }, "the user changed: build → (none)"},
		"network":        {func(op *plan.Run, _ *plan.Inputs) { op.Offline = true }, "--network=none is new"},
		"heredoc":        {func(op *plan.Run, _ *plan.Inputs) { op.Files[0].Data += "x" }, "the heredoc EOF changed"},
		"mounted file":   {func(_ *plan.Run, in *plan.Inputs) { in.Readings[0].Files[0] = regular("in/a", "b") }, "file in/a changed (mounted at /in)"},
		"mounted, whole": {func(_ *plan.Run, in *plan.Inputs) { in.Readings[0] = plan.Reading{From: plan.Identity{Step: key("3")}} }, "what is mounted at /in changed: files → step sha256:333333333333…"},
		"mount's source": {func(op *plan.Run, _ *plan.Inputs) { op.Mounts[0].Source = "out" }, "the mount at /in: source in → out"},
		"read-only":      {func(op *plan.Run, _ *plan.Inputs) { op.Mounts[0].ReadOnly = false }, "the mount at /in: read-only is gone"},
		"cache's id":     {func(op *plan.Run, _ *plan.Inputs) { op.Mounts[1].ID = "d" }, "the mount at /cache: id c → d"},
		"sharing":        {func(op *plan.Run, _ *plan.Inputs) { op.Mounts[1].Sharing = dockerfile.SharingShared }, "the mount at /cache: sharing locked → shared"},
		"mount's mode":   {func(op *plan.Run, _ *plan.Inputs) { op.Mounts[1].UID = 7 }, "the mount at /cache: made 0755 0:0 → 0755 7:0"},
		"mount's type":   {func(op *plan.Run, _ *plan.Inputs) { op.Mounts[1].Type = dockerfile.MountTmpfs }, "the mount at /cache: type cache → tmpfs"},
		"variable of it": {func(op *plan.Run, _ *plan.Inputs) { op.Mounts[2].Env = "T" }, "the mount at /run/secrets/s: variable S → T"},
		"size":           {func(op *plan.Run, _ *plan.Inputs) { op.Mounts[3].Size = 2 }, "the mount at /t: size 1 → 2"},
		"no mount":       {func(op *plan.Run, _ *plan.Inputs) { op.Mounts = op.Mounts[:3] }, "the mount tmpfs /t is gone"},
		"platform":       {func(_ *plan.Run, in *plan.Inputs) { in.Platform.Architecture = "arm64" }, "the platform changed: linux/amd64 → linux/arm64"},
		"clamp": {func(_ *plan.Run, in *plan.Inputs) { in.Clamp = time.Unix(1e9, 0) },
			"the time that files are brought down to (SOURCE_DATE_EPOCH or --reproducible) changed: 1970-01-01T00:00:00Z → 2001-09-09T01:46:40Z"},
		"no clamp": {func(_ *plan.Run, in *plan.Inputs) { in.Clamp = time.Time{} },
			"the time that files are brought down to (SOURCE_DATE_EPOCH or --reproducible) changed: 1970-01-01T00:00:00Z → (none)"},
		"ignored":     {func(_ *plan.Run, in *plan.Inputs) { in.Ignored = []string{"/tmp"} }, "--ignore-path=/tmp is new"},
		"compression": {func(_ *plan.Run, in *plan.Inputs) { in.Compression = "zstd-3" }, "the compression of layers changed: (none) → zstd-3"},
	} {
		op, in := ran()
		before := plan.Definition(op, in)
		c.change(&op, &in)
		explain(t, name, before, plan.Definition(op, in), c.want)
	}
}

func TestExplain_copy(t *testing.T) {
	files := func(in *plan.Inputs) []plan.File { return in.Readings[0].Files }
	for name, c := range map[string]struct {
		change func(*plan.Copy, *plan.Inputs)
		want   string
	}{
		"step before":   {func(_ *plan.Copy, in *plan.Inputs) { in.Below.Step = key("3") }, "the step before changed: the cause is an earlier step"},
		"content":       {func(_ *plan.Copy, in *plan.Inputs) { files(in)[2].Digest = hash("f").String() }, "file src/main.go changed"},
		"mode":          {func(_ *plan.Copy, in *plan.Inputs) { files(in)[2].Node.Mode = 0o755 }, "file src/main.go: mode 0644 → 0755"},
		"owner":         {func(_ *plan.Copy, in *plan.Inputs) { files(in)[2].Node.UID = 5 }, "file src/main.go: owner 0:0 → 5:0"},
		"owners":        {func(_ *plan.Copy, in *plan.Inputs) { in.Readings[0].Owners = false }, "whether the owners of files matter changed"},
		"new":           {func(_ *plan.Copy, in *plan.Inputs) { in.Readings[0].Files = append(files(in), regular("src/z", "7")) }, "file src/z is new"},
		"gone":          {func(_ *plan.Copy, in *plan.Inputs) { in.Readings[0].Files = slices.Delete(files(in), 3, 4) }, "file src/run is gone"},
		"renamed":       {func(_ *plan.Copy, in *plan.Inputs) { files(in)[3].Path = "src/walk" }, "file src/run became src/walk"},
		"known as":      {func(_ *plan.Copy, in *plan.Inputs) { files(in)[3].As = "walk" }, "file src/run became walk"},
		"directory":     {func(_ *plan.Copy, in *plan.Inputs) { files(in)[0].Node.Mode = 0o700 }, "directory src: mode 0755 → 0700"},
		"link":          {func(_ *plan.Copy, in *plan.Inputs) { files(in)[1].Node.Link = "b" }, "symlink src/link: target a → b"},
		"link's mode":   {func(_ *plan.Copy, in *plan.Inputs) { files(in)[1].Node.Mode = 0o755 }, "symlink src/link: mode 0777 → 0755"},
		"attribute":     {func(_ *plan.Copy, in *plan.Inputs) { files(in)[3].Node.Xattrs["security.capability"] = "y" }, "extended attribute security.capability of src/run changed"},
		"new attribute": {func(_ *plan.Copy, in *plan.Inputs) { files(in)[3].Node.Xattrs["user.x"] = "y" }, "extended attribute user.x of src/run is new"},
		"no attribute":  {func(_ *plan.Copy, in *plan.Inputs) { files(in)[3].Node.Xattrs = nil }, "extended attribute security.capability of src/run is gone"},
		"hard link":     {func(_ *plan.Copy, in *plan.Inputs) { files(in)[4].Hard = "src/run" }, "hard link src/same.go: target src/main.go → src/run"},
		"no hard link": {func(_ *plan.Copy, in *plan.Inputs) { files(in)[4].Hard = "" },
			"src/same.go was a hard link and is a file"},
		"device": {func(_ *plan.Copy, in *plan.Inputs) { files(in)[5].Node.Dev.Minor = 1 }, "special file src/tty changed"},
		"type":   {func(_ *plan.Copy, in *plan.Inputs) { files(in)[5].Node.Type = tree.Fifo }, "special file src/tty changed"},
		"from a stage": {func(_ *plan.Copy, in *plan.Inputs) {
			in.Readings[0] = plan.Reading{From: plan.Identity{Step: key("6")}}
		},
			"what it copies from changed: files → step sha256:666666666666…"},
		"fetched":      {func(_ *plan.Copy, in *plan.Inputs) { in.Readings[1].Files[0].Digest = hash("0").String() }, "file tool changed (of https://example.com/tool)"},
		"repository":   {func(_ *plan.Copy, in *plan.Inputs) { in.Readings[2].From.Image = hash("f") }, "what https://example.com/r.git has changed: image sha256:eeeeeeeeeeee… → image sha256:ffffffffffff…"},
		"sources":      {func(op *plan.Copy, _ *plan.Inputs) { op.Sources[1] = "*.c" }, "the sources changed: *.txt → *.c"},
		"destination":  {func(op *plan.Copy, _ *plan.Inputs) { op.Dest = "/opt" }, "the destination changed: /app → /opt"},
		"its form":     {func(op *plan.Copy, _ *plan.Inputs) { op.DestDir = false }, "the destination /app is to be a file and was to be a directory"},
		"chown":        {func(op *plan.Copy, _ *plan.Inputs) { op.Chown = "" }, "--chown changed: app → (none)"},
		"chmod":        {func(op *plan.Copy, _ *plan.Inputs) { op.Chmod = chmod(t, "u=rwx") }, "--chmod changed: 755 → u=rwx"},
		"exclude":      {func(op *plan.Copy, _ *plan.Inputs) { op.Exclude[0] = "x" }, "--exclude=*.md is gone; --exclude=x is new"},
		"unpack":       {func(op *plan.Copy, _ *plan.Inputs) { op.Unpack = true }, "that local archives are unpacked is new"},
		"parents":      {func(op *plan.Copy, _ *plan.Inputs) { op.Parents = true }, "--parents is new"},
		"independence": {func(op *plan.Copy, _ *plan.Inputs) { op.Link = true }, "--link is new; whether it matters what is below changed: step sha256:222222222222… → (none)"},
		"address": {func(op *plan.Copy, _ *plan.Inputs) { op.Remotes[0].URL = "https://example.com/2/tool" },
			"source https://example.com/tool is gone; source https://example.com/2/tool is new"},
		"secret address": {func(op *plan.Copy, _ *plan.Inputs) { op.Remotes[0].URL = "https://a:hunter2@example.com/tool?hunter2" },
			"source https://example.com/tool changed (part of the address is not shown)"},
		"file name": {func(op *plan.Copy, _ *plan.Inputs) { op.Remotes[0].Name = "t" }, "source https://example.com/tool: file name tool → t"},
		"checksum":  {func(op *plan.Copy, _ *plan.Inputs) { op.Remotes[1].Checksum = "4567" }, "source https://example.com/r.git: checksum 0123 → 4567"},
		"git-dir":   {func(op *plan.Copy, _ *plan.Inputs) { op.Remotes[1].KeepGitDir = nil }, "source https://example.com/r.git: git-directory true → (none)"},
		"heredoc":   {func(op *plan.Copy, _ *plan.Inputs) { op.Inline[0].Data = "a=2" }, "the heredoc conf changed"},
	} {
		op, in := copied(t)
		before := plan.Definition(op, in)
		c.change(&op, &in)
		explain(t, name, before, plan.Definition(op, in), c.want)
	}
}

func TestExplain_others(t *testing.T) {
	run, ranIn := ran()
	dir := plan.Definition(plan.Dir{Path: "/a"}, plan.Inputs{})
	explain(t, "dir", dir, plan.Definition(plan.Dir{Path: "/b", User: "x"}, plan.Inputs{}),
		"the directory changed: /a → /b; the user changed: (none) → x")
	explain(t, "instruction", dir, plan.Definition(run, ranIn), `it is another instruction: dir /a → run /bin/sh -c "make all"`)
	one, two := plan.Identity{Image: hash("1")}, plan.Identity{Step: key("1")}
	explain(t, "squashed", plan.Squashed(one, two), plan.Squashed(one, plan.Identity{Step: key("2")}), "what the steps before leave together changed")
	explain(t, "indexes", plan.Indexes(hash("1")), plan.Indexes(hash("2")), "the image changed: sha256:111111111111… → sha256:222222222222…")
}

// explain compares the explanation with sentences joined by "; ". No secret of the
// tests is in a definition.
func explain(t *testing.T, name string, before, after cachekey.Definition, want string) {
	t.Helper()
	if before == after {
		t.Errorf("%s: no difference", name)
	}
	if got := strings.Join(cachekey.Explain(before, after), "; "); got != want {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
	for _, secret := range []string{"hunter2", "NPM_TOKEN one", "NPM_TOKEN two"} {
		if strings.Contains(string(before+after), secret) {
			t.Errorf("%s: %s is in the definition:\n%s", name, secret, after)
		}
	}
}
