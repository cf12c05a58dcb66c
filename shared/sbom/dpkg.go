package sbom

import (
	"bufio"
	"io"
	"strings"
)

// maxLine bounds a line of a database of text, in bytes: some packages have long lists
// of what they depend on.
const maxLine = 4 << 20

// readDpkg reads dpkg's status file (deb-control(5)): paragraphs of fields, the same in
// the files of a distroless image, which have no Status.
func readDpkg(r io.Reader, f *finding) error {
	var fields map[string]string
	end := func() error {
		p, ok := debian(fields)
		fields = nil
		if !ok {
			return nil
		}
		return f.add(p)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := lines.Text()
		if strings.TrimSpace(line) == "" {
			if err := end(); err != nil {
				return err
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if line[0] == ' ' || line[0] == '\t' || !ok {
			continue // a field that goes on: none of ours does
		}
		switch name {
		case "Package", "Status", "Version", "Architecture", "Source", "Maintainer":
			if fields == nil {
				fields = map[string]string{}
			}
			fields[name] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return end()
}

// debian makes a package of a paragraph, unless it is of one that is not installed.
func debian(fields map[string]string) (record, bool) {
	if fields["Package"] == "" || fields["Version"] == "" {
		return record{}, false
	}
	if status := strings.Fields(fields["Status"]); len(status) == 3 {
		switch status[2] { // dpkg(1), "package states"
		case "not-installed", "config-files":
			return record{}, false
		}
	}
	p := Package{
		Kind: Debian, Name: fields["Package"], Version: fields["Version"], Arch: fields["Architecture"], Supplier: fields["Maintainer"],
	}
	// "gcc-12" or "gcc-12 (12.2.0-14)".
	name, version, _ := strings.Cut(fields["Source"], " ")
	version = strings.Trim(version, " ()")
	if name != "" && name != p.Name || version != "" && version != p.Version {
		p.Source, p.SourceVersion = name, version
	}
	return record{Package: p}, true
}
