// Package floors has no code, only tests: they read the whole workspace and hold
// it to the rules of docs/architecture.md. Which package may import which, where
// an outside dependency may be used, what a package must say of itself, and that
// no package has variables that change.
//
// The tests parse source files and need no go command, so that they run under
// Bazel as well. There they follow the link that Bazel makes of MODULE.bazel back
// to the workspace: a rule about everything must not depend on somebody having
// declared everything.
package floors
