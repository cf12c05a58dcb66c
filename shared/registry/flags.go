package registry

import (
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/pflag"
)

// Options say which registries may be talked to without the usual protection.
// The zero value trusts nobody without TLS but loopback and private addresses.
type Options struct {
	// Insecure and InsecurePull allow plain HTTP with every registry that is
	// pushed to, or pulled from. TLS is still tried first.
	Insecure     bool
	InsecurePull bool
	// InsecureRegistries are hosts, with their port if they have one, for which
	// plain HTTP is allowed both ways.
	InsecureRegistries []string

	// SkipTLSVerify and SkipTLSVerifyPull accept any certificate of a registry
	// that is pushed to, or pulled from.
	SkipTLSVerify     bool
	SkipTLSVerifyPull bool
	// SkipTLSVerifyRegistries are hosts whose certificate is not looked at.
	SkipTLSVerifyRegistries []string
}

// Bind puts the options' flags into f, with the present values as defaults.
func (o *Options) Bind(f *pflag.FlagSet) {
	o.BindPull(f)
	f.BoolVar(&o.Insecure, "insecure", o.Insecure, "allow plain HTTP when pushing")
	f.BoolVar(&o.SkipTLSVerify, "skip-tls-verify", o.SkipTLSVerify, "accept any certificate when pushing")
}

// BindPull is Bind for a program that pushes nothing.
func (o *Options) BindPull(f *pflag.FlagSet) {
	f.BoolVar(&o.InsecurePull, "insecure-pull", o.InsecurePull, "allow plain HTTP when pulling")
	f.StringArrayVar(&o.InsecureRegistries, "insecure-registry", o.InsecureRegistries,
		"allow plain HTTP with this registry `host[:port]`, for pulls and pushes; may be given again")
	f.BoolVar(&o.SkipTLSVerifyPull, "skip-tls-verify-pull", o.SkipTLSVerifyPull, "accept any certificate when pulling")
	f.StringArrayVar(&o.SkipTLSVerifyRegistries, "skip-tls-verify-registry", o.SkipTLSVerifyRegistries,
		"accept any certificate from this registry `host[:port]`; may be given again")
}

// role is what a registry is asked for: options may differ by it.
type role uint8

const (
	pull role = iota
	push
)

// scope is what of a repository a role needs, in the words of token servers.
func (r role) scope() string {
	if r == push {
		return "pull,push"
	}
	return "pull"
}

func (o *Options) plain(r role, host string) bool {
	if r == push && o.Insecure || r == pull && o.InsecurePull {
		return true
	}
	return names(o.InsecureRegistries, host)
}

func (o *Options) unverified(r role, host string) bool {
	if r == push && o.SkipTLSVerify || r == pull && o.SkipTLSVerifyPull {
		return true
	}
	return names(o.SkipTLSVerifyRegistries, host)
}

// names tells whether one of the hosts is host, whichever way Docker Hub is written.
func names(hosts []string, host string) bool {
	for _, h := range hosts {
		if reg, err := name.NewRegistry(h, name.WeakValidation); err == nil && reg.RegistryStr() == host {
			return true
		}
	}
	return false
}
