package dockerfile

// A Rule is something that the linter looks for. The names are BuildKit's, so that
// a "# check=skip=" line means the same to both.
type Rule struct {
	Name    string
	Summary string // what is wrong, in one sentence
	// Experimental rules are silent unless "# check=experimental=" names them.
	Experimental bool
	// Note marks what is not a fault of the Dockerfile's text: it is said, but is
	// never made an error.
	Note bool
}

// Rules are all rules of the linter, in the order of their names.
func Rules() []Rule {
	return []Rule{
		{Name: "ConsistentInstructionCasing", Summary: "The names of instructions are written partly in small, partly in capital letters."},
		{Name: "CopyIgnoredFile", Summary: "COPY or ADD takes a file that .dockerignore leaves out."},
		{Name: "DuplicateStageName", Summary: "Two stages have the same name."},
		{Name: "ExposeInvalidFormat", Summary: "EXPOSE names an address or a port of the host."},
		{Name: "ExposeProtoCasing", Summary: "The protocol of an EXPOSE is written with capital letters."},
		{Name: "FromAsCasing", Summary: "AS is not written in the letters of its FROM, small or capital."},
		{Name: "FromPlatformFlagConstDisallowed", Summary: "FROM --platform names one platform for all builds."},
		{Name: "InvalidBaseImagePlatform", Summary: "The base image is for another platform than the stage."},
		{Name: "InvalidDefaultArgInFrom", Summary: "Without build arguments, FROM does not name an image."},
		{Name: "InvalidDefinitionDescription", Summary: "The comment above an ARG or a named stage does not begin with its name.", Experimental: true},
		{Name: invalidTrigger, Summary: "What ONBUILD keeps is not an instruction that can be built.", Note: true},
		{Name: "JSONArgsRecommended", Summary: "CMD or ENTRYPOINT is in shell form, so that signals reach a shell."},
		{Name: "LegacyKeyValueFormat", Summary: "ENV or LABEL separates key and value by a space."},
		{Name: "MaintainerDeprecated", Summary: "MAINTAINER is used where a label would do."},
		{Name: "MultipleInstructionsDisallowed", Summary: "A stage has several CMDs, ENTRYPOINTs or HEALTHCHECKs, of which only the last one counts."},
		{Name: "NoEmptyContinuation", Summary: "An instruction goes on after an empty line."},
		{Name: "RedundantTargetPlatform", Summary: "FROM --platform=$TARGETPLATFORM asks for what FROM does anyway."},
		{Name: "ReservedStageName", Summary: "A stage has a name with a meaning of its own."},
		{Name: "SecretsUsedInArgOrEnv", Summary: "ARG or ENV holds what sounds like a secret."},
		{Name: "StageNameCasing", Summary: "The name of a stage has capital letters."},
		{Name: "UndefinedArgInFrom", Summary: "FROM uses a variable that no ARG before the first FROM declares."},
		{Name: "UndefinedVar", Summary: "A variable is used that nothing sets."},
		{Name: UnusedBuildArg, Summary: "A build argument was given that no ARG declares.", Note: true},
		{Name: "WorkdirRelativePath", Summary: "The first WORKDIR of a stage depends on the base's."},
	}
}

// The rules that BuildKit has no name for.
const (
	invalidTrigger = "InvalidTrigger"
	UnusedBuildArg = "UnusedBuildArg"
)

// IsNote reports whether w is never made an error.
func (w Warning) IsNote() bool {
	for _, r := range Rules() {
		if r.Name == w.Rule {
			return r.Note
		}
	}
	return false
}
