// Package clouds gets credentials for the registries of Google, Amazon and Azure, with
// their own libraries. It owns these; which host is whose, and what is remembered for
// how long, is the keychain's. A program without need of a cloud leaves it out and is
// megabytes smaller.
package clouds

import (
	"time"

	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
)

const (
	// ambientPatience bounds the search for credentials that a machine may have been
	// given: outside of the cloud nobody answers.
	ambientPatience = 5 * time.Second
	// maxReply bounds what a cloud may say, in bytes.
	maxReply = 1 << 20
	// maxReason bounds what of its complaint is passed on, in bytes.
	maxReason = 300
)

// All are the clouds that there are.
func All() keychain.Clouds {
	return keychain.Clouds{
		Google: func(o keychain.Options) keychain.Fetch { return googleCredentials{o}.fetch },
		ECR:    func(o keychain.Options) keychain.Fetch { return ecrCredentials{o}.fetch },
		ACR:    func(o keychain.Options) keychain.Fetch { return acrCredentials{o}.fetch },
	}
}
