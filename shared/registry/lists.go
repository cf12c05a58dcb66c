package registry

import "strings"

// places are the values of a flag that may be given again and that takes several
// values at once, between semicolons or commas: no host or repository has those.
type places struct {
	all   *[]string
	check func(string) error
}

// Type implements pflag's Value.
func (p *places) Type() string { return "list" }

func (p *places) String() string { return strings.Join(*p.all, ";") }

// Set implements pflag's Value. It adds to what was set before.
func (p *places) Set(text string) error {
	var some []string
	for one := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == ',' }) {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		if err := p.check(one); err != nil {
			return err
		}
		some = append(some, one)
	}
	if len(some) == 0 {
		return p.check("")
	}
	*p.all = append(*p.all, some...)
	return nil
}

// Append implements pflag's SliceValue.
func (p *places) Append(text string) error { return p.Set(text) }

// Replace implements pflag's SliceValue.
func (p *places) Replace(all []string) error {
	return replace(p, p.all, all)
}

// GetSlice implements pflag's SliceValue.
func (p *places) GetSlice() []string { return *p.all }

// pairs are the values of a flag that may be given again, each of one host and what it
// gets. A path may have any character, so one value is one pair.
type pairs struct {
	all   *[]string
	check func(string) error
}

// Type implements pflag's Value.
func (p *pairs) Type() string { return "pair" }

func (p *pairs) String() string { return strings.Join(*p.all, " ") }

// Set implements pflag's Value. It adds to what was set before.
func (p *pairs) Set(text string) error {
	if err := p.check(text); err != nil {
		return err
	}
	*p.all = append(*p.all, text)
	return nil
}

// Append implements pflag's SliceValue.
func (p *pairs) Append(text string) error { return p.Set(text) }

// Replace implements pflag's SliceValue.
func (p *pairs) Replace(all []string) error { return replace(p, p.all, all) }

// GetSlice implements pflag's SliceValue.
func (p *pairs) GetSlice() []string { return *p.all }

func replace(v interface{ Set(string) error }, old *[]string, all []string) error {
	before := *old
	*old = nil
	for _, one := range all {
		if err := v.Set(one); err != nil {
			*old = before
			return err
		}
	}
	return nil
}
