module github.com/kaniko-suite/kaniko/tools/bench

go 1.26.8

require (
	github.com/klauspost/compress v1.20.3
	github.com/klauspost/pgzip v1.3.0
	golang.org/x/sys v0.49.0
)
