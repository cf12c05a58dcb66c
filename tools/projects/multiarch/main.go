// Which says what it was built for.
package main

import (
	"fmt"
	"runtime"
)

var builtOn = "unknown"

func main() { fmt.Printf("%s/%s, built on %s\n", runtime.GOOS, runtime.GOARCH, builtOn) }
