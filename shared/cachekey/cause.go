package cachekey

// Cause says in a few words why a step is not found in a cache. It is one of few, and
// repeats nothing of what a Dockerfile or a file says.
type Cause string

// The causes.
const (
	NoEntry            Cause = "no entry"             // nor is it known what is different
	Expired            Cause = "expired"              // what there is is too old
	Damaged            Cause = "damaged"              // what there is cannot be used
	InstructionChanged Cause = "instruction changed"  // its words, options or variables that are set in it
	BaseChanged        Cause = "base changed"         // the base image
	ArgumentChanged    Cause = "argument changed"     // a variable, of ARG or ENV, that a command sees
	FilesChanged       Cause = "files changed"        // those that it copies, or that are mounted
	SourceChanged      Cause = "source changed"       // the stage, image or address that it takes files from
	SettingsChanged    Cause = "settings changed"     // flags, mounts, the platform
	EarlierChanged     Cause = "earlier step changed" // nothing of its own
	RunAgain           Cause = "depends on a step that is run again"
	OtherHistory       Cause = "made on top of something else"
	UnknownChanged     Cause = "something else changed"
)

// Because is the cause that [Explain] names first; empty for equal definitions.
func Because(before, after Definition) Cause {
	if before == after {
		return ""
	}
	a, errA := parse(before)
	b, errB := parse(after)
	if errA != nil || errB != nil {
		return UnknownChanged
	}
	if one, other := op(a), op(b); one != nil && other != nil && one.fields[0] != other.fields[0] {
		return InstructionChanged
	}
	all := reasons(couples(a, b))
	if len(all) == 0 {
		return UnknownChanged
	}
	return all[0].rank.cause()
}

func (r rank) cause() Cause {
	switch {
	case r == instruction || r == order:
		return InstructionChanged
	case r == base:
		return BaseChanged
	case r == variable:
		return ArgumentChanged
	case r.isFile():
		return FilesChanged
	case r == elsewhere:
		return SourceChanged
	case r == surroundings:
		return SettingsChanged
	case r == earlier:
		return EarlierChanged
	}
	return UnknownChanged
}

// Causes are all that there are.
func Causes() []Cause {
	return []Cause{
		NoEntry, Expired, Damaged, InstructionChanged, BaseChanged, ArgumentChanged, FilesChanged, SourceChanged, SettingsChanged,
		EarlierChanged, RunAgain, OtherHistory, UnknownChanged,
	}
}
