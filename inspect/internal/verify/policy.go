package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/inspect/internal/signed"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// maxPolicy bounds a policy file, a key and a file of roots, in bytes.
const maxPolicy = 4 << 20

// FileError is a file of the policy that cannot be taken.
type FileError struct {
	What, Name string
	Err        error
}

// Error implements error.
func (e *FileError) Error() string {
	return "read " + e.What + " from " + e.Name + ": " + e.Err.Error()
}

// Unwrap is why.
func (e *FileError) Unwrap() error { return e.Err }

// Hint says where it is from.
func (e *FileError) Hint() string { return "docs/inspect-verify.md says what it should be" }

func readFile(what, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &FileError{what, name, err}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err == nil && len(raw) > maxPolicy {
		err = fmt.Errorf("it is longer than %d bytes", maxPolicy)
	}
	if err != nil {
		return nil, &FileError{what, name, err}
	}
	return raw, nil
}

// Check checks what is asked for. Its errors are of the command line, or of the policy
// file, which has the same names.
func (p *Policy) Check() error {
	if !slices.ContainsFunc(checks(), func(c check) bool { return c.asked(p) }) {
		return errors.New("nothing is asked for: without a check there is no verdict")
	}
	if p.Digest != "" {
		if _, err := v1.NewHash(p.Digest); err != nil {
			return fmt.Errorf("--digest: %w", err)
		}
	}
	for _, check := range []func() error{p.checkSigner, p.checkClaims, p.checkRest} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Policy) identified() bool {
	return p.Identity != "" || p.IdentityPattern != "" || p.Issuer != "" || p.IssuerPattern != ""
}

func (p *Policy) asksSignature() bool { return p.Key != "" || p.identified() }

func (p *Policy) checkSigner() error {
	switch {
	case p.Key != "" && p.identified():
		return errors.New("--key and the flags of certificates exclude each other")
	case p.identified() && (p.Identity == "" && p.IdentityPattern == "" || p.Issuer == "" && p.IssuerPattern == ""):
		return errors.New("of certificates both a name (--certificate-identity) and who vouches for it (--certificate-oidc-issuer) must be asked for")
	case p.Identity != "" && p.IdentityPattern != "", p.Issuer != "" && p.IssuerPattern != "":
		return errors.New("of --certificate-identity and --certificate-identity-regexp, and of the two for the issuer, only one can be given")
	case p.identified() && p.TrustedRoot == "":
		return errors.New("--trusted-root must say whose certificates to believe")
	case p.Key != "" && p.RequireTlog && p.TrustedRoot == "":
		return errors.New("--require-tlog needs --trusted-root, which says which logs to believe")
	case p.RequireTlog && p.IgnoreTlog:
		return errors.New("--require-tlog and --insecure-ignore-tlog exclude each other")
	case p.Key != "" && (p.IgnoreTlog || p.IgnoreSCT):
		return errors.New("--insecure-ignore-tlog and --insecure-ignore-sct are about certificates: with --key no log is asked for")
	case p.RequireTlog && p.Key == "":
		return errors.New("--require-tlog is for --key: of a certificate an entry is asked for anyway")
	case !p.asksSignature() && (len(p.SignedNotes) > 0 || p.SignedRecursive || p.TrustedRoot != "" || p.IgnoreTlog || p.IgnoreSCT):
		return errors.New("nobody is asked for who should have signed: --key or --certificate-identity says who")
	}
	p.notes = map[string]string{}
	for _, n := range p.SignedNotes {
		key, value, ok := strings.Cut(n, "=")
		if !ok || key == "" {
			return fmt.Errorf("--annotation %q is not KEY=VALUE", n)
		}
		p.notes[key] = value
	}
	for _, pattern := range []string{p.IdentityPattern, p.IssuerPattern} {
		if _, err := regexp.Compile(pattern); err != nil {
			return err
		}
	}
	return nil
}

func (p *Policy) asksProvenance() bool {
	return p.Provenance || p.BuilderID != "" || p.SourceURI != "" || p.SourceCommit != "" || len(p.Dependencies) > 0 || p.BaseInProvenance
}

func (p *Policy) asksBase() bool { return p.Base || p.BaseImage != "" || p.BaseCurrent }

func (p *Policy) checkClaims() error {
	for _, d := range p.Dependencies {
		if _, _, ok := strings.Cut(d, ":"); !ok {
			return fmt.Errorf("--dependency %q is not a digest, such as sha256:… or gitCommit:…", d)
		}
	}
	for _, form := range p.SBOM {
		if form != anyList && listType(form) == "" {
			return fmt.Errorf("--sbom is %q: it must be spdx, cyclonedx or any", form)
		}
	}
	if _, err := compare.PresetRules(p.RebuildPreset); err != nil {
		return fmt.Errorf("--rebuild-preset: %w", err)
	}
	if p.Rebuild == "" && (len(p.RebuildRules) > 0 || p.flags.Changed("rebuild-preset")) {
		return errors.New("--rebuild-preset and --rebuild-rules need --rebuild, which says what to compare with")
	}
	return nil
}

// The modes of the check of layers with an index.
const (
	byIndex = "index"
	full    = "full"
)

func (p *Policy) checkRest() (err error) {
	if !slices.Contains([]string{"", byIndex, full}, p.EStargz) {
		return fmt.Errorf("--estargz is %q: it must be index or full", p.EStargz)
	}
	if p.EStargzAll && p.EStargz == "" {
		return errors.New("--estargz-all needs --estargz, which says how to check")
	}
	if !p.NoSecrets && (len(p.SecretPatterns) > 0 || len(p.SecretAllow) > 0) {
		return errors.New("--secret-pattern and --secret-allow need --no-secrets")
	}
	for _, pattern := range p.SecretPatterns {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return fmt.Errorf("--secret-pattern: %w", err)
		}
		p.secrets = append(p.secrets, re)
	}
	for _, text := range p.Platforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return fmt.Errorf("--platforms: %w", err)
		}
		p.wanted = append(p.wanted, *platform)
	}
	if p.MaxLayers < 0 {
		return fmt.Errorf("--max-layers is %d: it must not be negative", p.MaxLayers)
	}
	if p.MaxSize != "" {
		var ok bool
		if p.maxBytes, ok = registry.ParseSize(p.MaxSize); !ok {
			return fmt.Errorf("--max-size is %q, which is no size such as 200MB or 200MiB", p.MaxSize)
		}
	}
	if p.Created != "" {
		if p.created, err = parseTime(p.Created); err != nil {
			return fmt.Errorf("--created: %w", err)
		}
	}
	return nil
}

func parseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%q is neither seconds since 1970 nor a time such as 2026-11-27T08:00:00Z", text)
	}
	return at.UTC(), nil
}

// Prepare reads the files that a checked policy names.
func (p *Policy) Prepare() error {
	if p.asksSignature() {
		if err := p.readTrust(); err != nil {
			return err
		}
	}
	for _, name := range p.RebuildRules {
		raw, err := readFile("rules", name)
		if err != nil {
			return err
		}
		rules, err := compare.ReadRules(name, bytes.NewReader(raw))
		if err != nil {
			return err
		}
		p.rules = append(p.rules, rules...)
	}
	return nil
}

func (p *Policy) readTrust() error {
	t := &signed.Trust{
		Logged: p.RequireTlog || p.Key == "" && !p.IgnoreTlog, IgnoreSCT: p.IgnoreSCT,
		Identity: signed.Identity{Name: p.Identity, Issuer: p.Issuer},
	}
	if p.TrustedRoot != "" {
		raw, err := readFile("trusted roots", p.TrustedRoot)
		if err != nil {
			return err
		}
		if t.Root, err = signed.ReadRoot(raw); err != nil {
			return &FileError{"trusted roots", p.TrustedRoot, err}
		}
	}
	if p.Key != "" {
		raw, err := readFile("a public key", p.Key)
		if err != nil {
			return err
		}
		if t.Key, err = signed.ReadKey(raw); err != nil {
			return &FileError{"a public key", p.Key, err}
		}
	}
	var err error
	if p.IdentityPattern != "" {
		if t.Identity.NamePattern, err = regexp.Compile(p.IdentityPattern); err != nil {
			return err
		}
	}
	if p.IssuerPattern != "" {
		if t.Identity.IssuerPattern, err = regexp.Compile(p.IssuerPattern); err != nil {
			return err
		}
	}
	p.trust = t
	return nil
}
