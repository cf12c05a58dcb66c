package git

import (
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
)

// wanted is what a reference turned out to be.
type wanted struct {
	name string // the whole reference; empty for a commit by its hash
	hash plumbing.Hash
	// exact says that no reference is known to be that object: the server has to be
	// asked for it by its hash.
	exact bool
}

// resolve finds what a module's reference is at the remote, and compares it with
// what is expected.
func resolve(adv *packp.AdvRefs, m module) (wanted, error) {
	w, err := lookup(adv, m)
	if err != nil || m.commit == "" || m.byCommit {
		return w, err
	}
	got := []string{w.hash.String()}
	if peeled, ok := adv.Peeled[w.name]; ok {
		got = []string{peeled.String(), got[0]}
	}
	if !slices.ContainsFunc(got, func(hash string) bool { return strings.HasPrefix(hash, m.commit) }) {
		return wanted{}, &ChecksumError{Repository: m.at.String(), Ref: m.ref, Want: m.commit, Got: got}
	}
	return w, nil
}

func lookup(adv *packp.AdvRefs, m module) (wanted, error) {
	switch {
	case m.byCommit:
		w := byHash(adv, m.commit)
		if m.ref != "" && !isHash(m.ref) {
			w.name = m.ref
			if !strings.HasPrefix(w.name, "refs/") {
				w.name = "refs/heads/" + w.name
			}
		}
		return w, nil
	case isHash(m.ref):
		return byHash(adv, m.ref), nil
	case m.ref == "" || m.ref == "HEAD":
		return head(adv, m)
	}
	short := strings.TrimPrefix(m.ref, "refs/")
	for _, name := range []string{
		"refs/" + short,
		"refs/heads/" + strings.TrimPrefix(m.ref, "refs/heads/"),
		"refs/tags/" + strings.TrimPrefix(m.ref, "refs/tags/"),
	} {
		if hash, ok := adv.References[name]; ok {
			return wanted{name: name, hash: hash}, nil
		}
	}
	return wanted{}, &RefError{Repository: m.at.String(), Ref: m.ref, Similar: similar(m.ref, names(adv))}
}

func byHash(adv *packp.AdvRefs, hash string) wanted {
	w := wanted{hash: plumbing.NewHash(hash), exact: true}
	for _, h := range adv.References {
		if h == w.hash {
			w.exact = false
			break
		}
	}
	return w
}

// head is where the remote's HEAD is.
func head(adv *packp.AdvRefs, m module) (wanted, error) {
	for _, link := range adv.Capabilities.Get(capability.SymRef) {
		if name, ok := strings.CutPrefix(link, "HEAD:"); ok {
			if hash, ok := adv.References[name]; ok {
				return wanted{name: name, hash: hash}, nil
			}
		}
	}
	if adv.Head != nil {
		return wanted{hash: *adv.Head}, nil
	}
	all := names(adv)
	return wanted{}, &RefError{Repository: m.at.String(), Ref: "HEAD", Similar: all[:min(len(all), 4)]}
}

// names are the branches and tags, in order.
func names(adv *packp.AdvRefs) []string {
	var out []string
	for name := range adv.References {
		if strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/") {
			out = append(out, shortName(name))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// direct tells whether the server lets itself be asked for any commit by its hash.
func direct(adv *packp.AdvRefs) bool {
	return adv.Capabilities.Supports(capability.AllowReachableSHA1InWant) || adv.Capabilities.Supports("allow-any-sha1-in-want")
}
