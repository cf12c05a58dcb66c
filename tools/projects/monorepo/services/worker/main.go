// Worker does its work once.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"example.com/acme/shared/text"
)

func main() {
	fmt.Println(text.Greeting("worker"))
	files, _ := filepath.Glob("/usr/share/schemas/*.json")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%s: %s", filepath.Base(f), b)
	}
}
