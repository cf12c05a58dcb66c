package verify

import "testing"

// Addresses of one repository are one, however it is fetched, and no others are.
func TestRepository(t *testing.T) {
	const want = "github.com/example/app"
	for _, uri := range []string{
		"https://github.com/example/app", "https://github.com/example/app.git", "https://github.com/example/app/", "git+https://github.com/example/app@refs/heads/main",
		"git://github.com/example/app.git#refs/heads/main", "https://user:token@github.com/example/app.git", "ssh://git@github.com/example/app.git", "github.com/example/app",
	} {
		if got := repository(uri); got != want {
			t.Errorf("%s is %s", uri, got)
		}
	}
	for _, uri := range []string{
		"https://github.com/example/app2", "https://github.com.evil.example/example/app", "https://evil.example/github.com/example/app",
		"https://github.com@evil.example/example/app", "https://evil.example/x@github.com/example/app", "https://evil.example#github.com/example/app", "",
	} {
		if got := repository(uri); got == want {
			t.Errorf("%s is %s", uri, got)
		}
	}
}

// What looks like a secret is found, and what only has its name is not.
func TestSecrets(t *testing.T) {
	for text, secret := range map[string]bool{
		"RUN make": false, "RUN A=1 make": false, "RUN TOKEN=abc make": true, `RUN TOKEN="a b" make`: true, "ENV TOKEN=$TOKEN": false, "ENV TOKEN=": false,
		"ENV PASSWORD_FILE=/run/secrets/x": false, "ENV DB_PASSWORD=/run/secrets/x": false, "git clone https://u:p@example.com/x": true, "git clone https://example.com/x@y:z": false,
		"echo AKIAABCDEFGHIJKLMNOP": true, "echo -----BEGIN RSA PRIVATE KEY-----": true, "ENV GPG_KEY=0D96DF4D4110E5C43FBFB17F2D347EA6AA65421D": false,
		"curl -u ghp_" + "0123456789abcdefghijABCDEFGHIJ456789": true,
	} {
		s := newSeeker(&Policy{})
		s.text("x", text)
		if got := len(s.found) > 0; got != secret {
			t.Errorf("%s: %v", text, s.found)
		}
	}
}
