package cache

import (
	"errors"
	"fmt"
	"time"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// Why is what an [ErrMiss] comes of.
func Why(miss error) cachekey.Cause {
	var old *oldError
	switch {
	case errors.As(miss, &old):
		return cachekey.Expired
	case miss.Error() == ErrMiss.Error():
		return cachekey.NoEntry
	}
	return cachekey.Damaged
}

// oldError says that an entry is too old.
type oldError struct {
	from     string
	age, ttl time.Duration
}

func (e *oldError) Error() string {
	return fmt.Sprintf("what %s has is %s old, more than %s", e.from, max(e.age, 0).Round(time.Second), e.ttl)
}
