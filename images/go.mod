module github.com/kaniko-suite/kaniko/images

go 1.26.8

replace github.com/kaniko-suite/kaniko/shared => ../shared

require (
	github.com/kaniko-suite/kaniko/shared v0.0.0
	github.com/ulikunitz/xz v0.5.17
	golang.org/x/crypto/x509roots/fallback v0.0.0-20261030153154-30a33513ff6d
)
