// Package objecttest runs object stores for tests, and lines to them that break.
package objecttest

import (
	"context"
	"net"
	"net/http"
	"testing"
)

// Mapped is a client for which all names are at one address. Its connections end
// with the test.
func Mapped(t testing.TB, address string) (*http.Client, *http.Transport) {
	t.Helper()
	return MappedBy(t, func(string) string { return address })
}

// MappedBy is a client that is told where a host is.
func MappedBy(t testing.TB, where func(host string) string) (*http.Client, *http.Transport) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, where(host))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, transport
}
