package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
)

func TestMain(m *testing.M) { commandtest.Main(m, "warmer", main) }

func TestScripts(t *testing.T) {
	commandtest.Run(t, testscript.Params{Dir: "testdata/script"})
}
