package cli

import (
	"fmt"
	"strconv"
	"time"
)

// created is the time that the image states, and whether it is prescribed: by
// --reproducible, or by SOURCE_DATE_EPOCH among the build arguments or in the
// environment, in seconds since 1970.
func (b *builder) created(args map[string]string) (at time.Time, prescribed bool, err error) {
	text, ok := args["SOURCE_DATE_EPOCH"]
	if !ok {
		text, ok = b.env.LookupEnv("SOURCE_DATE_EPOCH")
	}
	if !ok || text == "" {
		if b.flags.reproducible {
			return time.Unix(0, 0).UTC(), true, nil
		}
		return time.Now().UTC(), false, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, false, fmt.Errorf("SOURCE_DATE_EPOCH is %q: it must be a number of seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), true, nil
}
