package registry

import (
	"fmt"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/pflag"
)

// Options say how registries are talked to. The zero value trusts nobody without TLS
// but loopback and private addresses, and asks each registry itself.
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

	// Authorities are HOST=PATH: the certificates, PEM, of authorities that are
	// believed beside the system's when they vouch for a host.
	Authorities []string
	// ClientCertificates are HOST=CERT,KEY: the files, PEM, with which we show a
	// host who we are.
	ClientCertificates []string

	// Maps are ORIG=MIRROR[/PREFIX]: images of a registry are pulled from another,
	// whose repositories may all begin with a prefix. Several for one registry are
	// asked in their order.
	Maps []string
	// Mirrors are MIRROR[/PREFIX], as Maps for Docker Hub, asked after those.
	Mirrors []string
	// SkipFallback pulls nothing from a registry that has a mirror.
	SkipFallback bool

	// PullRetries and PushRetries are how often more than once something is tried;
	// where there is no number, [Retry] has it.
	PullRetries, PushRetries Retries
	// LayerRetries are how often a layer of an image is asked for anew, from where
	// it ended, when PullRetries did not help or there was nothing to repeat.
	LayerRetries Retries

	// ChunkSize is how many bytes of a blob are sent in one request; 0 is all.
	ChunkSize Size
}

// Bind puts the flags of who may be talked to into f, with the present values as
// defaults.
func (o *Options) Bind(f *pflag.FlagSet) {
	o.BindPull(f)
	o.bindPushTrust(f)
}

// BindOwn adds the flags for a program that reads and writes repositories of one registry
// each, never a mirror's, and no layers.
func (o *Options) BindOwn(f *pflag.FlagSet) {
	o.BindTrust(f)
	o.BindPush(f)
	o.bindPullRetry(f)
}

func (o *Options) bindPullRetry(f *pflag.FlagSet) {
	f.Var(&o.PullRetries, "image-download-retry", "how often a pull is tried again (default 4)")
}

// BindTrust adds the flags of how far registries are trusted alone, for a program that
// neither pulls nor pushes.
func (o *Options) BindTrust(f *pflag.FlagSet) {
	o.bindTrust(f)
	o.bindPushTrust(f)
}

func (o *Options) bindPushTrust(f *pflag.FlagSet) {
	f.BoolVar(&o.Insecure, "insecure", o.Insecure, "allow plain HTTP when pushing")
	f.BoolVar(&o.SkipTLSVerify, "skip-tls-verify", o.SkipTLSVerify, "accept any certificate when pushing")
}

// BindPush adds the flags of how something is sent, for a program that pushes images.
func (o *Options) BindPush(f *pflag.FlagSet) {
	f.Var(&o.PushRetries, "push-retry", "how often a push is tried again (default 4)")
	f.Var(&o.ChunkSize, "push-chunk-size", "`size`, such as 16MiB, of the pieces that layers are sent in; 0 sends each whole")
}

var _ pflag.SliceValue = (*places)(nil)
var _ pflag.SliceValue = (*pairs)(nil)
var _ pflag.Value = (*Retries)(nil)
var _ pflag.Value = (*Size)(nil)

// BindPull is Bind for a program that pushes nothing.
func (o *Options) BindPull(f *pflag.FlagSet) {
	o.bindTrust(f)
	f.Var(&places{&o.Mirrors, checkMirror}, "registry-mirror",
		"`HOST[/PREFIX]` to pull images of Docker Hub from; may be given again, or several with a comma: they are tried in order")
	f.Var(&places{&o.Maps, checkMap}, "registry-map",
		"`ORIG=HOST[/PREFIX]`: where to pull images of the registry ORIG from; may be given again, or several with a semicolon: they are tried in order")
	f.BoolVar(&o.SkipFallback, "skip-default-registry-fallback", o.SkipFallback, "do not pull from a registry whose mirrors all failed")
	o.bindPullRetry(f)
	f.Var(&o.LayerRetries, "image-fs-extract-retry", "how often a layer is asked for anew that could not be read (default 0)")
}

// bindTrust adds the flags of whom to believe to be a registry, and who we are.
func (o *Options) bindTrust(f *pflag.FlagSet) {
	f.BoolVar(&o.InsecurePull, "insecure-pull", o.InsecurePull, "allow plain HTTP when pulling")
	f.StringArrayVar(&o.InsecureRegistries, "insecure-registry", o.InsecureRegistries,
		"allow plain HTTP with this registry `host[:port]`, for pulls and pushes; may be given again")
	f.BoolVar(&o.SkipTLSVerifyPull, "skip-tls-verify-pull", o.SkipTLSVerifyPull, "accept any certificate when pulling")
	f.StringArrayVar(&o.SkipTLSVerifyRegistries, "skip-tls-verify-registry", o.SkipTLSVerifyRegistries,
		"accept any certificate from this registry `host[:port]`; may be given again")
	f.Var(&pairs{&o.Authorities, checkAuthority}, "registry-certificate",
		"`HOST=FILE`: certificates, PEM, of authorities to believe for a registry beside the system's; may be given again")
	f.Var(&pairs{&o.ClientCertificates, checkClientCertificate}, "registry-client-cert",
		"`HOST=CERT,KEY`: files, PEM, to identify with to a registry; may be given again")
}

// Check finds what is wrong with the options before a registry is asked: names that
// are none, and files that cannot be read or hold something else. The error for a file
// is a [CertificateError].
func (o *Options) Check() error {
	if _, err := newRoutes(o); err != nil {
		return err
	}
	_, err := readIdentities(o)
	return err
}

// Retries is a number of repetitions as a flag has it; its zero value is none given.
type Retries struct{ tries int }

// Again are n repetitions, n at least 0.
func Again(n int) Retries { return Retries{n + 1} }

// Type implements [pflag.Value].
func (r *Retries) Type() string { return "int" }

func (r *Retries) String() string {
	if r.tries == 0 {
		return ""
	}
	return strconv.Itoa(r.tries - 1)
}

// Set implements [pflag.Value].
func (r *Retries) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n > maxRetries {
		return fmt.Errorf("%q is not a number from 0 to %d", text, maxRetries)
	}
	*r = Again(int(n))
	return nil
}

const maxRetries = 100

// or is the number of attempts: that of r, or else n.
func (r Retries) or(n int) int {
	if r.tries > 0 {
		return r.tries
	}
	return n
}

// role is what a registry is asked for: options may differ by it.
type role uint8

const (
	pull role = iota
	push
)

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

// retries are those for what is done with a registry.
func (o *Options) retries(r role) Retries {
	if r == push {
		return o.PushRetries
	}
	return o.PullRetries
}

// names tells whether one of the hosts is host, whichever way Docker Hub is written.
func names(hosts []string, host string) bool {
	for _, h := range hosts {
		if canonical(h) == host {
			return true
		}
	}
	return false
}

// canonical is a registry's name as references have it; empty if it is none.
func canonical(host string) string {
	reg, err := name.NewRegistry(host, name.WeakValidation)
	if err != nil || host == "" {
		return ""
	}
	if s := reg.RegistryStr(); s != "registry-1.docker.io" {
		return s
	}
	return name.DefaultRegistry
}
