package git

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Line endings are those that git itself checks out.
func TestFetch_lineEndings(t *testing.T) {
	r := newRepositories(t)
	texts := map[string]string{
		"lines": "a\nb\n", "mixed": "a\r\nb\n", "none": "a", "empty": "", "windows": "a\r\nb\r\n", "cr": "a\rb\n",
		"binary": "a\x00b\n", "odd": "\x01\x02\x03\x04\n", "ended": "abc\n\x1a", "open": "a\nb",
	}
	bare := r.create("x.git", func(dir string) {
		git(t, dir, "config", "core.autocrlf", "false")
		r.write(dir, ".gitattributes", "[attr]dos text eol=crlf\n*.dos dos\n*.both eol=crlf binary\n*.bat text eol=crlf\n*.auto text=auto eol=crlf\n*.bin -text eol=crlf\n*.lf text eol=lf\n*.eol eol=crlf\n"+
			"*.text text\nsub/** eol=crlf\nno*.bat -eol\n!bad\n")
		r.write(dir, "sub/deep/.gitattributes", "*.bat eol=lf\n*.here eol=crlf\n")
		entries := ""
		for name, text := range texts {
			hash := gitInput(t, dir, text, "hash-object", "-w", "--no-filters", "--stdin")
			for _, kind := range []string{".bat", ".auto", ".bin", ".lf", ".eol", ".text", ".none", ".here", ".dos", ".both"} {
				// As they are: git would take off the endings on their way in.
				for _, dir := range []string{"", "sub", "sub/deep"} {
					entries += "100644 " + hash + "\t" + filepath.Join(dir, name+kind) + "\n"
				}
			}
		}
		gitInput(t, dir, entries, "update-index", "--add", "--index-info")
		git(t, dir, "add", "-f", ".gitattributes", "sub/deep/.gitattributes")
		git(t, dir, "commit", "-q", "-m", "c")
	})
	want := filepath.Join(t.TempDir(), "want")
	git(t, r.dir, "clone", "-q", bare, want)
	url := serve(t, r.backend()).URL + "/x.git"
	for _, sub := range []string{"", "sub", "sub/deep"} {
		dir, _, err := fetchSource(t, url+"#:"+sub, Options{})
		if err != nil {
			t.Fatal(err)
		}
		files := 0
		err = filepath.WalkDir(filepath.Join(want, sub), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				if err == nil && e.Name() == ".git" {
					return fs.SkipDir
				}
				return err
			}
			files++
			rel, _ := filepath.Rel(filepath.Join(want, sub), path)
			theirs, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			ours, err := os.ReadFile(filepath.Join(dir, rel))
			if err != nil || string(ours) != string(theirs) {
				t.Errorf("%s in %q: %q %v, git has %q", rel, sub, ours, err, theirs)
			}
			return nil
		})
		if err != nil || files < 80 {
			t.Fatal(files, err)
		}
	}
}
