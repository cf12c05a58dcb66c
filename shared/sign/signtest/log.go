package signtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// FirstLog speaks as Rekor's first version, which cannot run here: it needs Trillian and a
// data base. It keeps nothing: entries get the promise that verifiers of signatures
// under tags ask for, and proofs that prove nothing.
type FirstLog struct {
	URL    string
	Public string // file with the key that promises are verified by
	count  atomic.Int64
	key    *ecdsa.PrivateKey
	id     string
}

// Entries is how many entries were made.
func (l *FirstLog) Entries() int { return int(l.count.Load()) }

// StartFirstLog runs one until the test is over.
func StartFirstLog(t testing.TB) *FirstLog {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(der)
	l := &FirstLog{Public: filepath.Join(t.TempDir(), "rekor.pub"), key: key, id: hex.EncodeToString(id[:])}
	write(t, l.Public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/log", func(w http.ResponseWriter, _ *http.Request) { answer(w, struct{}{}) })
	mux.HandleFunc("POST /api/v1/log/entries", l.add)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	l.URL = s.URL
	return l
}

// proposed is an entry as clients propose it.
type proposed struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Spec       json.RawMessage `json:"spec"`
}

func (l *FirstLog) add(w http.ResponseWriter, r *http.Request) {
	var p proposed
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, err := p.canonical()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// In the order of the names, as promises are made of canonical JSON.
	entry := struct {
		Body  []byte `json:"body"`
		Time  int64  `json:"integratedTime"`
		Log   string `json:"logID"`
		Index int64  `json:"logIndex"`
	}{body, time.Now().Unix(), l.id, l.count.Add(1) - 1}
	text, err := json.Marshal(entry)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(text)
	promise, err := ecdsa.SignASN1(rand.Reader, l.key, sum[:])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	uuid := hex.EncodeToString(sum[:])
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", uuid)
	w.Header().Set("Location", "/api/v1/log/entries/"+uuid)
	w.WriteHeader(http.StatusCreated)
	answer(w, map[string]any{uuid: map[string]any{
		"body": entry.Body, "integratedTime": entry.Time, "logID": entry.Log, "logIndex": entry.Index,
		"verification": map[string]any{
			"signedEntryTimestamp": promise,
			"inclusionProof": map[string]any{
				"checkpoint": "none", "hashes": []string{}, "logIndex": 0, "rootHash": uuid, "treeSize": 1,
			},
		},
	}})
}

// canonical is an entry as the log keeps it: of an envelope, what it is and not what is
// in it.
func (p *proposed) canonical() ([]byte, error) {
	if p.Kind != "dsse" {
		var spec any
		if err := json.Unmarshal(p.Spec, &spec); err != nil {
			return nil, err
		}
		return json.Marshal(map[string]any{"apiVersion": p.APIVersion, "kind": p.Kind, "spec": spec})
	}
	var spec struct {
		Content struct {
			Envelope  string   `json:"envelope"`
			Verifiers []string `json:"verifiers"`
		} `json:"proposedContent"`
	}
	if err := json.Unmarshal(p.Spec, &spec); err != nil {
		return nil, err
	}
	var envelope struct {
		Payload    string `json:"payload"`
		Signatures []struct {
			Sig string `json:"sig"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal([]byte(spec.Content.Envelope), &envelope); err != nil {
		return nil, err
	}
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		return nil, err
	}
	var signatures []map[string]string
	for i, s := range envelope.Signatures {
		signatures = append(signatures, map[string]string{"signature": s.Sig, "verifier": spec.Content.Verifiers[i]})
	}
	return json.Marshal(map[string]any{"apiVersion": p.APIVersion, "kind": p.Kind, "spec": map[string]any{
		"envelopeHash": hashed([]byte(spec.Content.Envelope)), "payloadHash": hashed(payload), "signatures": signatures,
	}})
}

func hashed(text []byte) map[string]string {
	sum := sha256.Sum256(text)
	return map[string]string{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])}
}
