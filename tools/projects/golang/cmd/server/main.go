// Server answers with its version and with numbers.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"example.com/acme/service/internal/build"
	"example.com/tiny/ids"
	"example.com/tiny/mux"
)

func main() {
	var counter ids.Counter
	handler := mux.New(map[string]mux.Text{
		"/":        func() string { return fmt.Sprintln("go", build.Version) },
		"/next":    func() string { return fmt.Sprintln(counter.Next()) },
		"/healthz": func() string { return "ok\n" },
		"/uid":     func() string { return fmt.Sprintln(os.Getuid()) },
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), handler))
}
