package signtest

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// Broken is a certificate authority that is there, and that gives no certificates, and a
// log that takes no entries: a fake, since the real ones do not fail when they are told to.
type Broken struct {
	URL   string
	asked atomic.Int64
}

// Asked is how often it was asked for a certificate.
func (b *Broken) Asked() int { return int(b.asked.Load()) }

// StartBroken runs one until the test is over.
func StartBroken(t testing.TB) *Broken {
	t.Helper()
	b := &Broken{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/configuration", func(w http.ResponseWriter, _ *http.Request) { answer(w, struct{}{}) })
	mux.HandleFunc("GET /api/v1/log", func(w http.ResponseWriter, _ *http.Request) { answer(w, struct{}{}) })
	mux.HandleFunc("POST /api/v2/signingCert", func(w http.ResponseWriter, _ *http.Request) {
		b.asked.Add(1)
		http.Error(w, "the authority's key is away", http.StatusInternalServerError)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	b.URL = s.URL
	return b
}
