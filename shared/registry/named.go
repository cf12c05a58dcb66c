package registry

import "context"

// Named reads the manifest or index that ref, a name as users write it, stands for, of
// a mirror if its registry has one, once in a client's life. An image can then be opened
// by its digest without another request. Errors are as of [Client.Resolve].
func (c *Client) Named(ctx context.Context, ref string) (*Manifest, error) {
	r, err := c.Reference(ref)
	if err != nil {
		return nil, err
	}
	m, err := c.manifest(ctx, r)
	if err != nil {
		return nil, c.failed("pull "+ref, pull, r.Context(), err)
	}
	return &Manifest{Raw: m.raw, MediaType: m.mediaType, Digest: m.digest}, nil
}
