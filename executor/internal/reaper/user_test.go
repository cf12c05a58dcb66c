package reaper

import "testing"

func FuzzParseAccounts(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n")
	f.Add(":::\n#\n\x00:x:1:1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range parsePasswd(text) {
			if a.name == "" || a.uid < 0 || a.uid > maxID || a.gid < 0 || a.gid > maxID {
				t.Errorf("%q gives %+v", text, a)
			}
		}
		for _, g := range parseGroup(text) {
			if g.name == "" || g.gid < 0 || g.gid > maxID {
				t.Errorf("%q gives %+v", text, g)
			}
		}
	})
}
