// Command executor builds a container image from a Dockerfile: see its --help.
package main

import (
	stores "github.com/kaniko-suite/kaniko/executor/internal/buildcontext/store/clouds"
	"github.com/kaniko-suite/kaniko/executor/internal/cli"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/command"
	credentials "github.com/kaniko-suite/kaniko/shared/registry/keychain/clouds"
)

func main() {
	reaper.Main() // does not return in a process that was started to run one command
	grant := isolated.Main()
	command.Main(cli.Program(grant, full()))
}

// full are all clouds that there are.
func full() cli.Clouds {
	return cli.Clouds{Stores: stores.All, Credentials: credentials.All()}
}
