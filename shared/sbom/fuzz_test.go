package sbom

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"testing"
)

// FuzzFiles: whatever an image has in place of a database, it is read or refused.
func FuzzFiles(f *testing.F) {
	for _, path := range []string{"testdata/rpm/Packages.gz", "testdata/rpm/Packages.db.gz", "testdata/rpm/rpmdb.sqlite.gz", "testdata/apk-installed"} {
		file, err := os.Open(path)
		if err != nil {
			f.Fatal(err)
		}
		var r io.Reader = file
		if z, err := gzip.NewReader(file); err == nil {
			r = z
		} else if _, err := file.Seek(0, io.SeekStart); err != nil {
			f.Fatal(err)
		}
		seed, err := io.ReadAll(r)
		if err != nil {
			f.Fatal(err)
		}
		file.Close()
		f.Add(seed)
	}
	f.Add([]byte("Package: a\nVersion: 1\nSource: b (2)\n\nID=\"x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []rpmFormat{readSQLite, readNDB, readBDB} {
			read(bytes.NewReader(data), int64(len(data)), func(header []byte) error { //nolint:errcheck // that it comes back is all
				_, err := rpmPackage(header)
				return err
			})
		}
		rpmPackage(data) //nolint:errcheck
		for _, read := range []reader{readDpkg, readApk, readSystem, readPython, readNode} {
			found := &finding{}
			if err := read(bytes.NewReader(data), found); err != nil {
				continue
			}
			for _, p := range merge(System{}, []*finding{found}) {
				if p.PURL == "" {
					t.Errorf("%q has no package URL", p.Name)
				}
				isExpression(p.License)
			}
		}
	})
}
