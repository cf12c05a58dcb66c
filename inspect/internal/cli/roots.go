package cli

import (
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// trustRoots has certificates checked against Mozilla's authorities where the system
// has none of its own: in an image that holds nothing but this program. It is called
// once.
func trustRoots() error {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return fmt.Errorf("read the certificate authorities: %w", err)
		}
		pool.AddCertWithConstraint(cert, root.Constraint)
	}
	x509.SetFallbackRoots(pool)
	return nil
}
