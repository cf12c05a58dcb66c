package registry

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes as a flag has it; 0 is no limit.
type Size int64

// minChunk is the least that is sent in one request, other than the end of a blob, in
// bytes. No proxy that lets manifests through has a lower limit.
const minChunk = 1 << 20

// Type implements pflag's Value.
func (s *Size) Type() string { return "size" }

func (s *Size) String() string { return strconv.FormatInt(int64(*s), 10) }

// Set implements pflag's Value: what [ParseSize] reads, 0 or at least 1MiB.
func (s *Size) Set(text string) error {
	n, ok := ParseSize(text)
	switch {
	case !ok:
		return fmt.Errorf("%q is not a size such as 16MiB", text)
	case n != 0 && n < minChunk:
		return fmt.Errorf("%q is less than 1MiB", text)
	}
	*s = Size(n)
	return nil
}

// ParseSize reads a number of bytes, or of kB, MB, GB, TB, which are thousands each of
// the one before, or of KiB, MiB, GiB, TiB, with 1024 in the place of a thousand.
func ParseSize(text string) (int64, bool) {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	base, unit := 1000.0, strings.ToLower(strings.TrimSpace(text[len(number):]))
	if strings.HasSuffix(unit, "ib") {
		base, unit = 1024, strings.TrimSuffix(unit, "ib")
	}
	unit = strings.TrimSuffix(unit, "b")
	power := strings.Index(" kmgt", unit)
	if unit == "" {
		power = 0
	}
	if power < 0 || len(unit) > 1 {
		return 0, false
	}
	if n *= math.Pow(base, float64(power)); n >= math.MaxInt64 {
		return 0, false
	}
	return int64(n), true
}

// sized writes a number of bytes for people.
func sized(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.4g %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
