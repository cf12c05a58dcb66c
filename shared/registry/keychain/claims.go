package keychain

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// EndOf is when a JSON web token says that it is void, or otherwise if it does not say.
func EndOf(jwt string, otherwise time.Time) time.Time {
	var claims struct {
		Expires int64 `json:"exp"` // seconds since 1970
	}
	if decodeClaims(jwt, &claims) != nil || claims.Expires == 0 {
		return otherwise
	}
	return time.Unix(claims.Expires, 0)
}

// decodeClaims reads what a JSON web token claims. It is our own, to be looked at and
// not to be believed: its signature is not checked.
func decodeClaims(jwt string, claims any) error {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return errors.New("it is no JSON web token")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, claims)
}
