package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/executor/internal/sign"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// signingFlags say who signs what is pushed, and how.
type signingFlags struct {
	key          string
	passwordFile string
	keyless      bool
	token        string
	authority    string
	log          string
	timestamp    string
	upload       toggle
	format       string
	annotations  []string
}

func (f *signingFlags) bind(fs *pflag.FlagSet) {
	fs.StringVar(&f.key, "sign-key", "", "private `key` that signs what is pushed: a file, env://NAME, or a directory with cosign.key and cosign.password")
	fs.StringVar(&f.passwordFile, "sign-password-file", "", "`file` with the password of the key (default $COSIGN_PASSWORD)")
	fs.BoolVar(&f.keyless, "sign", false, "sign what is pushed without a key, with the identity token of where the build runs")
	fs.StringVar(&f.token, "sign-identity-token", "", "identity `token` to sign with without a key, or a file with one")
	fs.StringVar(&f.authority, "sign-fulcio-url", sign.PublicAuthority, "`URL` of the authority that gives certificates for identity tokens")
	fs.StringVar(&f.log, "sign-rekor-url", sign.PublicLog, "`URL` of the transparency log")
	fs.StringVar(&f.timestamp, "sign-tsa-url", "", "`URL` of an authority that says when something was signed")
	fs.Var(&f.upload, "sign-tlog-upload", "enter signatures in the transparency log; by default those without a key")
	fs.Lookup("sign-tlog-upload").NoOptDefVal = "true"
	fs.StringVar(&f.format, "sign-format", string(sign.Tag), "`format` of signatures: tag, the tag sha256-<hex>.sig, referrers, bundles that refer to the image, or both")
	fs.StringArrayVar(&f.annotations, "sign-annotation", nil, "`KEY=VALUE` that is signed with the image; repeatable")
}

// on reports whether anything is signed.
func (f *signingFlags) on() bool { return f.key != "" || f.without() }

// without reports whether it is signed without a key.
func (f *signingFlags) without() bool { return f.keyless || f.token != "" }

// check finds what is wrong with the flags; pushes tells whether there is something to
// sign.
func (f *signingFlags) check(pushes bool) error {
	switch {
	case !f.on():
		return f.checkOff()
	case f.key != "" && f.without():
		return errors.New("--sign-key signs with a key, and --sign and --sign-identity-token without one: give one of them")
	case f.passwordFile != "" && f.key == "":
		return errors.New("--sign-password-file is the password of a key, and needs --sign-key")
	case !pushes:
		return errors.New("only what is pushed can be signed: give --destination, and not --no-push")
	case f.without() && !f.uploads() && f.timestamp == "":
		return errors.New("without a key, a signature is good for as long as something says when it was made: leave --sign-tlog-upload, or give --sign-tsa-url")
	}
	for flag, at := range map[string]string{"--sign-fulcio-url": f.authority, "--sign-rekor-url": f.log, "--sign-tsa-url": f.timestamp} {
		if u, err := url.Parse(at); at != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			return fmt.Errorf("%s is not an address that begins with https:// or http://", flag)
		} else if u.User != nil {
			return fmt.Errorf("%s has a user in it, which would be shown wherever the address is", flag)
		}
	}
	return f.checkForm()
}

// checkOff finds flags that say how to sign what is not signed.
func (f *signingFlags) checkOff() error {
	if f.passwordFile != "" || f.timestamp != "" || f.upload.given || len(f.annotations) > 0 || f.format != string(sign.Tag) ||
		f.authority != sign.PublicAuthority || f.log != sign.PublicLog {
		return errors.New("the flags that begin with --sign- say how to sign: give --sign-key or --sign too")
	}
	return nil
}

// checkForm finds what is wrong with the form of signatures.
func (f *signingFlags) checkForm() error {
	if _, err := sign.ParseFormat(f.format); err != nil {
		return fmt.Errorf("--sign-format: %w", err)
	}
	for _, text := range f.annotations {
		if key, _, ok := strings.Cut(text, "="); key == "" || !ok {
			return fmt.Errorf("--sign-annotation %q is not KEY=VALUE", text)
		}
	}
	return nil
}

// uploads reports whether signatures are entered in the log.
func (f *signingFlags) uploads() bool {
	if f.upload.given {
		return f.upload.on
	}
	return f.without()
}

// open makes ready to sign; nil if nothing is signed.
func (f *signingFlags) open(ctx context.Context, env *command.Env, client *registry.Client, via http.RoundTripper) (*sign.Signer, error) {
	if !f.on() {
		return nil, nil
	}
	o := sign.Options{
		Client:   client,
		Key:      sign.KeyOptions{Key: f.key, PasswordFile: f.passwordFile, LookupEnv: env.LookupEnv},
		Identity: sign.IdentityOptions{Token: f.token, Authority: f.authority, LookupEnv: env.LookupEnv, Now: time.Now},
		Services: sign.Services{Timestamp: f.timestamp, Transport: via},
		Format:   sign.Format(f.format),
		Signed:   func(image name.Digest) { env.Log.Info("signed " + image.Name()) },
	}
	if f.uploads() {
		o.Services.Log = f.log
	}
	for _, text := range f.annotations {
		key, value, _ := strings.Cut(text, "=")
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations[key] = value
	}
	return sign.New(ctx, o)
}
