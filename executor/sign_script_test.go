package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/shared/sign/signtest"
)

// signCommands are for scripts that sign:
//
//	cosign ARG…   runs cosign; with the condition [cosign]
//	sigstore      with the condition [sigstore], starts Fulcio, Rekor and a timestamp authority: $FULCIO, $REKOR and
//	              $TSA; $ROOT is the file by which cosign trusts them, and $ISSUER who
//	              gave the token in the file token, which is for ci@example.com
//	tokens        writes that file, and one in the file expired
//	broken        starts an authority that gives no certificates: $BROKEN
func signCommands(t *testing.T) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"cosign": func(ts *testscript.TestScript, neg bool, args []string) {
			out, err := signtest.OpenCosign(t).RunIn(t, ts.MkAbs("."), args...)
			fmt.Fprint(ts.Stdout(), out)
			if err != nil {
				fmt.Fprintln(ts.Stderr(), err)
			}
			if (err != nil) != neg {
				ts.Fatalf("cosign: %v", err)
			}
		},
		"sigstore": func(ts *testscript.TestScript, _ bool, _ []string) {
			services := signtest.StartServices(t, signtest.OpenCosign(t))
			ts.Setenv("FULCIO", services.Authority)
			ts.Setenv("REKOR", services.Log)
			ts.Setenv("TSA", services.Timestamp)
			ts.Setenv("ROOT", services.Root)
			tokens(ts, t, services.Issuer)
		},
		"tokens": func(ts *testscript.TestScript, _ bool, _ []string) { tokens(ts, t, signtest.StartIssuer(t)) },
		"broken": func(ts *testscript.TestScript, _ bool, _ []string) {
			ts.Setenv("BROKEN", signtest.StartBroken(t).URL)
		},
	}
}

func tokens(ts *testscript.TestScript, t *testing.T, issuer *signtest.Issuer) {
	ts.Setenv("ISSUER", issuer.URL)
	for name, until := range map[string]time.Time{"token": time.Now().Add(time.Hour), "expired": time.Unix(1700000000, 0)} {
		text := issuer.Token(t, "ci@example.com", until)
		ts.Check(os.WriteFile(filepath.Join(ts.MkAbs("."), name), []byte(text), 0o600))
	}
}
