package dockerfile

import (
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// Instruction is one instruction of a stage. The set is closed: [Add] is part of
// [Copy], and FROM is a [Stage].
type Instruction interface {
	Where() Source
	instruction()
}

// Source is where an instruction came from.
type Source struct {
	At   Location
	Name string // in capitals: "COPY"
	Text string // as written, continuation lines joined, without heredocs' bodies
	quiet
}

// Where returns s; it makes what embeds a Source an [Instruction].
func (s Source) Where() Source { return s }

func (Source) instruction() {}

// Pair is a key and its value, not expanded.
type Pair struct {
	Key, Value string
	Legacy     bool // written without "=": everything after the key is the value
}

// Declaration is one name of an ARG; Default is nil without "=".
type Declaration struct {
	Name    string
	Default *string
}

// Command is what RUN, CMD and ENTRYPOINT run.
type Command struct {
	// Args is the exec form's list, or in shell form one text for the shell, the
	// bodies of heredocs that it reads included.
	Args  []string
	Shell bool
	// Script is set when a RUN is nothing but a heredoc; Args is then empty.
	Script *Script
}

// Script is the body of a heredoc that is itself the command.
type Script struct {
	Name string // the heredoc's word
	Data string
}

// Inline is a file given as a heredoc.
type Inline struct {
	Name   string
	Data   string
	Expand bool // variables in Data are expanded: the heredoc's word was not quoted
}

// The instructions. Words in them are as written, to be expanded by an [Expander]
// unless said otherwise.
type (
	// Arg declares build arguments.
	Arg struct {
		Source
		Declarations []Declaration
	}
	// Env sets variables.
	Env struct {
		Source
		Pairs []Pair
	}
	// Label sets labels.
	Label struct {
		Source
		Pairs []Pair
	}
	// Run runs a command. It is not expanded: the shell does that. Its mounts are
	// in [Run.Mounts].
	Run struct {
		Source
		Command
		// Offline is --network=none: the command has no network but a loopback.
		Offline bool
		parsed  *instructions.RunCommand // its mounts, whose variables the parser's own code expands
	}
	// Copy is COPY and ADD.
	Copy struct {
		Source
		Add     bool
		From    string // a stage, its number, a named context or an image; not expanded
		Chown   string
		Chmod   string // octal or symbolic
		Link    bool
		Parents bool
		Exclude []string // patterns of what is left out
		// Checksum is what the content of ADD's one remote source must have.
		Checksum string
		// Unpack is what ADD was told to do with archives; nil is to unpack local ones.
		Unpack *bool
		// KeepGitDir is what ADD was told of a repository's .git; nil is to leave it out.
		KeepGitDir *bool
		Sources    []string
		Inline     []Inline
		Dest       string
	}
	// Workdir sets the working directory.
	Workdir struct {
		Source
		Path string
	}
	// User sets the user.
	User struct {
		Source
		User string
	}
	// Expose names ports; each word may expand to several.
	Expose struct {
		Source
		Ports []string
	}
	// Volume names volumes.
	Volume struct {
		Source
		Paths []string
	}
	// Cmd sets the default command. It is not expanded.
	Cmd struct {
		Source
		Command
	}
	// Entrypoint sets the entry point. It is not expanded.
	Entrypoint struct {
		Source
		Command
	}
	// Shell sets the shell of the shell forms. It is not expanded.
	Shell struct {
		Source
		Args []string
	}
	// Healthcheck sets the health check. It is not expanded.
	Healthcheck struct {
		Source
		Test                                          []string // as the image config has it; {"NONE"} for none
		Interval, Timeout, StartPeriod, StartInterval time.Duration
		Retries                                       int
	}
	// StopSignal sets the signal that stops a container.
	StopSignal struct {
		Source
		Signal string
	}
	// Onbuild keeps an instruction for images built on this one. Trigger is
	// parsed by [ParseTrigger] where it takes effect.
	Onbuild struct {
		Source
		Trigger string
	}
	// Maintainer sets the author. It is not expanded.
	Maintainer struct {
		Source
		Author string
	}
)
