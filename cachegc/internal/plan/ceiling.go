package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// Ceiling is how much one run may delete of a cache: a share of its entries and bytes, or a
// number of entries. The zero value allows nothing beyond [Few].
type Ceiling struct {
	Share float64 // from 0 to 1, if Number is 0
	// Number is how many entries may go, if it is not 0.
	Number int
}

// Few is how many entries may always go: a share of a small cache means nothing.
const Few = 10

// ParseCeiling reads a share, such as 20%, or a number of entries.
func ParseCeiling(text string) (Ceiling, error) {
	if share, ok := strings.CutSuffix(text, "%"); ok {
		n, err := strconv.ParseFloat(share, 64)
		if err != nil || !(n >= 0 && n <= 100) {
			return Ceiling{}, fmt.Errorf("%q is not a share from 0%% to 100%%", text)
		}
		return Ceiling{Share: n / 100}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return Ceiling{}, fmt.Errorf("%q is neither a share, such as 20%%, nor a number of entries", text)
	}
	return Ceiling{Number: n}, nil
}

func (c Ceiling) String() string {
	if c.Number > 0 {
		return strconv.Itoa(c.Number)
	}
	return strconv.FormatFloat(c.Share*100, 'g', -1, 64) + "%"
}

// LargeError is a plan that would delete more than one run may.
type LargeError struct {
	Place   string
	Totals  Totals
	Ceiling Ceiling
}

func (e *LargeError) Error() string {
	return fmt.Sprintf("clean %s: %d of %d entries and journals with %d of %d bytes would go, more than %s",
		e.Place, e.Totals.Delete, e.Totals.Entries+e.Totals.Journals, e.Totals.DeleteBytes, e.Totals.Bytes, e.Ceiling)
}

// Hint says how to go on.
func (e *LargeError) Hint() string {
	return "look at the plan; if it is as meant, give --force-large, or a larger --max-delete"
}

// ExitCode is that of what was refused for safety.
func (e *LargeError) ExitCode() int { return 3 }

// Check refuses a plan that would delete too much. The error is a [LargeError].
func (c Ceiling) Check(of *Cache) error {
	t := of.Totals
	large := t.Delete > c.Number
	if c.Number == 0 {
		large = t.Delete > Few && (float64(t.Delete) > c.Share*float64(t.Entries+t.Journals) || float64(t.DeleteBytes) > c.Share*float64(t.Bytes))
	}
	if large {
		return &LargeError{Place: of.Place, Totals: t, Ceiling: c}
	}
	return nil
}
