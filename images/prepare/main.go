// Command prepare writes the build context of one of our images: the program for each
// architecture, and what is the same in all images. It is run by the rule in
// image.bzl, and reads nothing but the files that it is given.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/command"
)

// source is where all of it comes from, for org.opencontainers.image.source.
const source = "https://github.com/kaniko-suite/kaniko"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}

// job is what one image is made of.
type job struct {
	out         string
	dockerfile  string
	title       string
	description string
	licenses    string
	files       []string // copied under their names
	programs    map[string]string
	debs        map[string]string // Debian's busybox-static, by architecture
	applets     string
	labels      []string
}

func run(args []string) error {
	j := job{programs: map[string]string{}, debs: map[string]string{}}
	fs := flag.NewFlagSet("prepare", flag.ContinueOnError)
	fs.StringVar(&j.out, "out", "", "directory to write, which is empty")
	fs.StringVar(&j.dockerfile, "dockerfile", "", "Dockerfile of the image")
	fs.StringVar(&j.title, "title", "", "name of the image")
	fs.StringVar(&j.description, "description", "", "what it is, in a sentence")
	fs.StringVar(&j.licenses, "licenses", "", "expression of SPDX's")
	fs.StringVar(&j.applets, "applets", "", "file with names of links to busybox")
	fs.Func("file", "file to copy", func(v string) error { j.files = append(j.files, v); return nil })
	fs.Func("label", "KEY=VALUE", func(v string) error { j.labels = append(j.labels, v); return nil })
	fs.Func("program", "ARCH=FILE", pair(j.programs))
	fs.Func("busybox", "ARCH=DEB", pair(j.debs))
	if err := fs.Parse(args); err != nil {
		return err
	}
	if j.out == "" || j.dockerfile == "" || len(j.programs) == 0 {
		return errors.New("give --out, --dockerfile and --program")
	}
	return j.write()
}

func pair(into map[string]string) func(string) error {
	return func(v string) error {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return errors.New("it is not ARCH=FILE")
		}
		into[key] = value
		return nil
	}
}

// write makes the directory: Dockerfile, flags, and files, which is the build context.
func (j *job) write() error {
	files := filepath.Join(j.out, "files")
	if err := copyFile(j.dockerfile, filepath.Join(j.out, "Dockerfile"), 0o644); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(j.out, "flags"), []byte(j.flags())); err != nil {
		return err
	}
	for arch, path := range j.programs {
		if err := copyFile(path, filepath.Join(files, arch, "program"), 0o755); err != nil {
			return err
		}
	}
	for arch, deb := range j.debs {
		if err := writeBusybox(filepath.Join(files, arch, "busybox.tar"), deb, j.applets); err != nil {
			return fmt.Errorf("busybox for %s: %w", arch, err)
		}
	}
	for _, path := range j.files {
		if err := copyFile(path, filepath.Join(files, filepath.Base(path)), 0o644); err != nil {
			return err
		}
	}
	pem, err := certificates()
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(files, "ca-certificates.crt"), pem)
}

// flags are the executor's for this image, one a line: its labels, and the same as
// annotations of its manifests. None tells the time.
func (j *job) flags() string {
	var b strings.Builder
	say := func(key, value string) {
		fmt.Fprintf(&b, "--label=%s=%s\n--annotation=%s=%s\n", key, value, key, value)
	}
	const oci = "org.opencontainers.image."
	say(oci+"title", j.title)
	say(oci+"description", j.description)
	say(oci+"licenses", j.licenses)
	say(oci+"source", source)
	say(oci+"version", command.Release)
	for _, l := range j.labels {
		key, value, _ := strings.Cut(l, "=")
		say(key, value)
	}
	return b.String()
}

func copyFile(from, to string, mode os.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := writeFile(to, content); err != nil {
		return err
	}
	return os.Chmod(to, mode)
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
