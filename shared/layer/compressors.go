package layer

import (
	"io"
	"sync"

	"github.com/klauspost/pgzip"
)

// Compressors keeps what layers were compressed with, several megabytes each, for the
// layers that come next. The zero value is ready, and may be used by several encoders at
// once. What comes out does not depend on it.
type Compressors struct {
	idle sync.Pool // of *leveled
}

// leveled is a compressor that only does one level.
type leveled struct {
	*pgzip.Writer
	level int
}

// gzip compresses into w, as many blocks at once as there are workers. c may be nil.
func (c *Compressors) gzip(w io.Writer, level, workers int) (io.WriteCloser, error) {
	z := c.take(level)
	if z != nil {
		z.Reset(w)
	} else {
		fresh, err := pgzip.NewWriterLevel(w, level)
		if err != nil {
			return nil, err
		}
		z = &leveled{fresh, level}
	}
	return &lent{z, c}, z.SetConcurrency(gzipBlock, workers+1)
}

func (c *Compressors) take(level int) *leveled {
	if c == nil {
		return nil
	}
	if z, ok := c.idle.Get().(*leveled); ok && z.level == level {
		return z
	}
	return nil
}

func (c *Compressors) put(z *leveled) {
	if c != nil {
		z.Reset(io.Discard) // so that it does not hold what it wrote to
		c.idle.Put(z)
	}
}

// lent is a compressor for one layer.
type lent struct {
	*leveled // nil once it was given back
	to       *Compressors
}

// Close ends the stream and gives the compressor back, unless it failed. It is safe to
// call twice.
func (l *lent) Close() error {
	z := l.leveled
	if z == nil {
		return nil
	}
	l.leveled = nil
	err := z.Writer.Close()
	if err == nil {
		l.to.put(z)
	}
	return err
}
