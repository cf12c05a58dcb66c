package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/kaniko-suite/kaniko/shared/command"
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
		return time.Time{}, false, &epochError{text}
	}
	return time.Unix(seconds, 0).UTC(), true, nil
}

// epochError is a SOURCE_DATE_EPOCH that is no time.
type epochError struct{ text string }

func (e *epochError) Error() string {
	return fmt.Sprintf("SOURCE_DATE_EPOCH is %q: it must be a number of seconds since 1970", e.text)
}

// ExitCode is that of a wrong configuration.
func (e *epochError) ExitCode() int { return int(command.BadConfig) }
