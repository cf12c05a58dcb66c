package registry

import "sync"

// largestChunk is what a blob is cut into that was too large, in bytes: requests of that
// size cost next to nothing more than longer ones.
const largestChunk = 64 << 20

// chunks are the sizes of the pieces that blobs are sent in, in bytes, by host, where
// something in front of it refused larger ones. The zero value is ready for use.
type chunks struct {
	mu   sync.Mutex
	size map[string]int64
	told map[string]bool
}

// of is the size of pieces for a host; usual is what it is where nothing was refused.
func (c *chunks) of(host string, usual int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.size[host]; ok {
		return n
	}
	return usual
}

// shrink notes that a request was too large for a host, and tells whether there is a
// smaller one. refused is its size in bytes, or [unknown].
func (c *chunks) shrink(host string, refused int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if refused == unknown {
		refused = 2 * largestChunk
	}
	if refused <= minChunk {
		return false
	}
	if n, ok := c.size[host]; ok && n < refused {
		return true // another upload found out before
	}
	next := int64(largestChunk)
	for next > minChunk && next > refused/2 {
		next /= 2
	}
	if c.size == nil {
		c.size = map[string]int64{}
	}
	c.size[host] = next
	return true
}

// tell reports whether there is nothing to say of the pieces for a host, or it was said
// before; otherwise it is for the caller to say, once.
func (c *chunks) tell(host string) (told bool, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.size[host]
	if !ok || c.told[host] {
		return true, 0
	}
	if c.told == nil {
		c.told = map[string]bool{}
	}
	c.told[host] = true
	return false, n
}
