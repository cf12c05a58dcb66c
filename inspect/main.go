// Command inspect: see its --help.
package main

import (
	"github.com/kaniko-suite/kaniko/inspect/internal/cli"
	"github.com/kaniko-suite/kaniko/shared/command"
)

func main() { command.Main(cli.Program()) }
