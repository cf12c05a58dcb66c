// Command warmer: see its --help.
package main

import (
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/warmer/internal/cli"
)

func main() { command.Main(cli.Program()) }
