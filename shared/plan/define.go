package plan

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Inputs is what a step's result depends on beside the step itself.
type Inputs struct {
	// Below says what files the step finds.
	Below Identity
	// Readings are what the step reads from elsewhere, in the order of [Reads].
	Readings []Reading
	Platform v1.Platform
	// Clamp is the time that no file of a layer is later than; zero without.
	Clamp time.Time
	// Compression is how the layer is compressed, in words; empty is the usual way.
	Compression string
	// Ignored are absolute paths at and below which what a command changes is not kept.
	Ignored []string
}

// Identity names a file system by how it came to be; its zero value is the empty one.
type Identity struct {
	Image v1.Hash      // the manifest's digest
	Step  cachekey.Key // of the last step that could change a file
}

// Reading is what a step reads from one place: all of a file system by how it came
// to be or, if Listed is set, files by their content.
type Reading struct {
	From   Identity
	Listed bool
	Files  []File
	// Owners tells that the owners of Files matter.
	Owners bool
}

// File is a file that a step reads.
type File struct {
	tree.Entry
	// Digest is that of a regular file's content. It may be empty if Hard is a file
	// that is listed before.
	Digest string
	// As is what the step knows it by, if that is not its path.
	As string
}

// Reads are what an op reads from elsewhere, in the order that [Inputs] has it.
func Reads(op Op) []Read {
	var all []Read
	switch op := op.(type) {
	case Copy:
		if len(op.Sources) > 0 {
			all = append(all, Read{From: op.From, Patterns: op.Sources, Parents: op.Parents, Exclude: op.Exclude})
		}
		for i := range op.Remotes {
			if !op.Remotes[i].fixed() {
				all = append(all, Read{Remote: &op.Remotes[i]})
			}
		}
	case Run:
		for _, m := range op.Mounts {
			if m.readsFiles() {
				all = append(all, Read{From: m.From, Path: m.Source, Exact: true})
			}
		}
	}
	return all
}

// Read is something that a step reads from elsewhere: a remote source that may have
// something else the next time, or files of a file system.
type Read struct {
	Remote *Remote
	// From is where files are; nil is the build context.
	From *Source
	// Patterns, Parents and Exclude are COPY's.
	Patterns []string
	Parents  bool
	Exclude  []string
	// Path is what a mount shows, if Exact is set.
	Path  string
	Exact bool
}

// Listing is a [Reading] in the words of a definition. It is much smaller.
type Listing struct {
	text   cachekey.Text
	owners bool
}

// NewListing begins the listing of files; owners tells that theirs matter.
func NewListing(owners bool) *Listing {
	l := &Listing{owners: owners}
	l.text.Line("from", "files")
	return l
}

// Made is the listing of all of a file system by how it came to be.
func Made(from Identity) *Listing {
	l := &Listing{}
	identify(&l.text, "from", from)
	return l
}

// Listing puts a reading into words.
func (r Reading) Listing() *Listing {
	if !r.Listed {
		return Made(r.From)
	}
	l := NewListing(r.Owners)
	links := Links{}
	for _, f := range r.Files {
		links.Settle(&f)
		l.Add(f)
	}
	return l
}

// Links are the paths that were listed.
type Links map[tree.Path]bool

// Settle makes a hard link a file of its own if the other was not listed: the line of
// another file says nothing of it then.
func (l Links) Settle(f *File) {
	if !l[f.Hard] {
		f.Hard = ""
	}
	l[f.Path] = true
}

// Definition is the text that the result of a step depends on: two steps with the
// same make the same of the files. It is empty for a step that touches none.
func Definition(op Op, in Inputs) cachekey.Definition {
	var readings []*Listing
	for _, r := range in.Readings {
		readings = append(readings, r.Listing())
	}
	return DefinitionOf(op, in, readings)
}

// DefinitionOf is [Definition] with readings in place of those of in.
func DefinitionOf(op Op, in Inputs, readings []*Listing) cachekey.Definition {
	d := definer{w: cachekey.NewWriter(), readings: readings}
	switch op := op.(type) {
	case Run:
		d.identity("parent", in.Below)
		d.w.Line("platform", formatPlatform(in.Platform))
		d.run(op)
	case Copy:
		if !op.Link {
			d.identity("parent", in.Below)
		}
		d.copy(op)
	case Dir:
		d.identity("parent", in.Below)
		d.w.Line("dir", op.Path)
		d.set("user", op.User)
	case Meta:
		return ""
	}
	if !in.Clamp.IsZero() {
		d.w.Line("clamp", strconv.FormatInt(in.Clamp.Unix(), 10))
	}
	if in.Compression != "" {
		d.w.Line("compression", in.Compression)
	}
	if _, ok := op.(Run); ok {
		for _, path := range slices.Sorted(slices.Values(in.Ignored)) {
			d.w.Line("ignored", path)
		}
	}
	return d.w.Definition()
}

// After names the files that a step leaves, by the definition that its result is
// found under.
func After(op Op, below Identity, d cachekey.Definition) Identity {
	if _, ok := op.(Meta); ok {
		return below
	}
	if c, ok := op.(Copy); !ok || !c.Link {
		return Identity{Step: d.Key()}
	}
	w := definer{w: cachekey.NewWriter()}
	w.identity("parent", below)
	w.w.Line("linked", d.Key().Digest())
	return Identity{Step: w.w.Definition().Key()}
}

// Squashed is the definition of the one layer that all steps of a stage make
// together, between these two file systems.
func Squashed(below, after Identity) cachekey.Definition {
	d := definer{w: cachekey.NewWriter()}
	d.identity("parent", below)
	d.identity("squashed", after)
	return d.w.Definition()
}

// Indexes is the definition of what the layers of an image do to files.
func Indexes(image v1.Hash) cachekey.Definition {
	w := cachekey.NewWriter()
	w.Line("indexes", image.String())
	return w.Definition()
}

type definer struct {
	w        *cachekey.Writer
	readings []*Listing
}

func (d *definer) identity(word string, of Identity) { identify(&d.w.Text, word, of) }

func identify(w *cachekey.Text, word string, of Identity) {
	switch {
	case of.Step != "":
		w.Line(word, "step", of.Step.Digest())
	case of.Image != (v1.Hash{}):
		w.Line(word, "image", of.Image.String())
	default:
		w.Line(word, scratch)
	}
}

func (d *definer) set(word, value string) {
	if value != "" {
		d.w.Line(word, value)
	}
}

func (d *definer) flag(word string, is bool) {
	if is {
		d.w.Line(word)
	}
}

func (d *definer) run(op Run) {
	d.w.Line("run", op.Args...)
	for _, e := range slices.Sorted(slices.Values(op.Env)) {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case slices.Contains(op.Unkeyed, name):
		case soundsSecret(name), credentials.MatchString(value):
			d.w.Line("env", name, "hidden", digest(value))
		default:
			d.w.Line("env", name, value)
		}
	}
	d.w.Line("in", op.Dir)
	d.set("user", op.User)
	d.flag("offline", op.Offline)
	for _, f := range op.Files {
		d.w.Line("script", f.Name, mode(f.Mode), f.Data)
	}
	for _, m := range op.Mounts {
		d.mount(m)
	}
}

// credentials is a user with a password in an address.
var credentials = regexp.MustCompile(`://[^/?#\s]*:[^/?#\s]*@`)

// digest stands for a value that is not to be told.
func digest(value string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(value))) }

func mode(m tree.Mode) string { return fmt.Sprintf("%04o", m) }

func owner(uid, gid int) string { return fmt.Sprintf("%d:%d", uid, gid) }

// mount says what a command finds mounted. Of secrets and caches that is not what is
// in them.
func (d *definer) mount(m Mount) {
	d.w.Line("mount", string(m.Type), m.Target)
	d.set("id", m.ID)
	d.set("variable", m.Env)
	d.set("source", m.Source)
	d.set("sharing", string(m.Sharing))
	d.flag("read-only", m.ReadOnly)
	if m.Size != 0 {
		d.w.Line("size", strconv.FormatInt(m.Size, 10))
	}
	d.w.Line("made", mode(m.Mode), owner(m.UID, m.GID))
	if m.readsFiles() {
		d.reading()
	}
}

// readsFiles reports whether a mount shows files from elsewhere.
func (m Mount) readsFiles() bool { return m.Type == dockerfile.MountBind || m.From != nil }

func (d *definer) copy(op Copy) {
	form := "file"
	if op.DestDir {
		form = "directory"
	}
	d.w.Line("copy", op.Dest, form)
	d.set("chown", op.Chown)
	if op.Chmod != nil {
		d.w.Line("chmod", op.Chmod.String())
	}
	d.flag("unpack", op.Unpack)
	d.flag("parents", op.Parents)
	d.flag("link", op.Link)
	for _, e := range op.Exclude {
		d.w.Line("exclude", e)
	}
	if len(op.Sources) > 0 {
		d.w.Line("sources", op.Sources...)
		d.reading()
	}
	for _, r := range op.Remotes {
		d.remote(r)
		d.set("checksum", r.Checksum)
		d.flag("repository", r.Git)
		d.flag("unpack", r.Unpack)
		if r.KeepGitDir != nil {
			d.w.Line("git-directory", strconv.FormatBool(*r.KeepGitDir))
		}
		if !r.fixed() {
			d.reading()
		}
	}
	for _, f := range op.Inline {
		d.w.Line("inline", f.Name, f.Data)
	}
}

// remote says what is fetched from where. Of an address that may hold a secret the
// rest is told, and a hash of all of it.
func (d *definer) remote(r Remote) {
	if shown := r.public(); shown != r.URL {
		d.w.Line("remote", shown, r.Name, "hidden", digest(r.URL))
		return
	}
	d.w.Line("remote", r.URL, r.Name)
}

// public is the address without what may be a secret: user and password, and a file's
// query.
func (r Remote) public() string {
	u, err := url.Parse(r.URL)
	if err != nil {
		if strings.Contains(r.URL, "://") {
			return ""
		}
		return r.URL // user@host:path has no place for a password
	}
	if u.Scheme == "http" || u.Scheme == "https" || hasPassword(u) {
		u.User = nil
	}
	if !r.Git {
		u.RawQuery = ""
	}
	return u.String()
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has
}

// fixed reports whether the checksum leaves no choice of what is fetched: one of a
// file, or the whole name of a commit.
func (r Remote) fixed() bool { return r.Checksum != "" && (!r.Git || len(r.Checksum) >= commitDigits) }

// commitDigits is how long the name of a commit is, by SHA-1.
const commitDigits = 40

// reading says what the next of the readings is.
func (d *definer) reading() {
	d.w.Append(&d.readings[0].text)
	d.readings = d.readings[1:]
}

// Add appends a file. One that is a hard link was settled before.
func (l *Listing) Add(f File) {
	n := f.Node
	if f.As != "" {
		l.text.Line("as", f.As)
	}
	var word string
	var fields []string
	switch {
	case f.Hard != "":
		l.text.Line("hard", string(f.Hard), string(f.Path))
		return
	case n.Type == tree.File:
		word, fields = "file", []string{mode(n.Mode), f.Digest}
	case n.Type == tree.Dir:
		word, fields = "directory", []string{mode(n.Mode)}
	case n.Type == tree.Symlink:
		word, fields = "symlink", []string{mode(n.Mode), n.Link}
	default:
		word, fields = "special", []string{strconv.Itoa(int(n.Type)), mode(n.Mode), owner(int(n.Dev.Major), int(n.Dev.Minor))}
	}
	if l.owners {
		fields = append(fields, owner(n.UID, n.GID))
	}
	l.text.Line(word, append(fields, string(f.Path))...)
	for _, name := range slices.Sorted(maps.Keys(n.Xattrs)) {
		l.text.Line("xattr", name, n.Xattrs[name])
	}
}
