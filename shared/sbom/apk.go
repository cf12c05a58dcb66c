package sbom

import (
	"bufio"
	"io"
)

// readApk reads apk's database (apk-package(5), "installed"): paragraphs of lines that
// begin with a letter and a colon.
func readApk(r io.Reader, f *finding) error {
	var p Package
	end := func() error {
		one := p
		p = Package{}
		if one.Name == "" || one.Version == "" {
			return nil
		}
		one.Kind = Alpine
		if one.Source == one.Name {
			one.Source = ""
		}
		return f.add(record{Package: one})
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if err := end(); err != nil {
				return err
			}
			continue
		}
		if len(line) < 2 || line[1] != ':' {
			continue
		}
		value := line[2:]
		switch line[0] {
		case 'P':
			p.Name = value
		case 'V':
			p.Version = value
		case 'A':
			p.Arch = value
		case 'L':
			p.License = value
		case 'o':
			p.Source = value
		case 'm':
			p.Supplier = value
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return end()
}
