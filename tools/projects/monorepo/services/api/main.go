// Api answers with the schemas that it was built with.
package main

import (
	"embed"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"os"

	"example.com/acme/shared/text"
)

//go:embed schemas
var schemas embed.FS

func main() {
	files, err := fs.Sub(schemas, "schemas")
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/schemas/", http.StripPrefix("/schemas/", http.FileServerFS(files)))
	http.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, text.Greeting("api")) })
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
