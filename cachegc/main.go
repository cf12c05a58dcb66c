// Command cachegc: see its --help.
package main

import (
	"github.com/kaniko-suite/kaniko/cachegc/internal/cli"
	"github.com/kaniko-suite/kaniko/shared/command"
)

func main() { command.Main(cli.Program()) }
