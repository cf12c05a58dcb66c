// Package sign signs images that were pushed, with a key or with the identity of
// whoever builds, in the ways that cosign verifies. It is the only package that knows
// sigstore.
package sign
