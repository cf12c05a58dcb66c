module github.com/kaniko-suite/kaniko/tools/treediff

go 1.26.8

replace github.com/kaniko-suite/kaniko/shared => ../../shared

require (
	github.com/google/go-containerregistry v0.22.1
	github.com/kaniko-suite/kaniko/shared v0.0.0
)

require (
	github.com/docker/cli v29.8.2+incompatible // indirect
	github.com/docker/docker-credential-helpers v0.9.9 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	github.com/sirupsen/logrus v1.10.2 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
