package cli

import (
	"fmt"
	"strconv"
	"strings"
)

// gitFlag is --git: how a build context is checked out of a repository.
type gitFlag struct {
	given        []string
	branch       string
	depth        int // as in git.Options
	singleBranch bool
	submodules   bool
	skipTLS      bool
}

// Set implements [pflag.Value]: kaniko's KEY=VALUE,…, which may be given in parts.
func (f *gitFlag) Set(text string) error {
	for option := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(option, "=")
		if !ok {
			return fmt.Errorf("%q is not KEY=VALUE", option)
		}
		if err := f.set(key, value); err != nil {
			return err
		}
	}
	f.given = append(f.given, text)
	return nil
}

func (f *gitFlag) set(key, value string) (err error) {
	switch key {
	case "branch":
		f.branch = value
	case "single-branch":
		f.singleBranch, err = strconv.ParseBool(value)
	case "recurse-submodules":
		f.submodules, err = strconv.ParseBool(value)
	case "insecure-skip-tls":
		f.skipTLS, err = strconv.ParseBool(value)
	case "depth":
		f.depth, err = strconv.Atoi(value)
		switch {
		case err != nil || f.depth < 0:
			return fmt.Errorf("depth=%s is no number of commits", value)
		case f.depth == 0:
			f.depth = -1 // all of them, as for git
		}
	default:
		return fmt.Errorf("%q is unknown: there are branch, single-branch, recurse-submodules, insecure-skip-tls and depth", key)
	}
	if err != nil {
		return fmt.Errorf("%s=%s is neither true nor false", key, value)
	}
	return nil
}

// Type implements [pflag.Value].
func (f *gitFlag) Type() string { return "gitoptions" }

func (f *gitFlag) String() string { return strings.Join(f.given, ",") }

// isTrue reads a build argument that is a switch.
func isTrue(text string) bool {
	on, err := strconv.ParseBool(text)
	return err == nil && on
}
