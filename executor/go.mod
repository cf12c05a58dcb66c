module github.com/kaniko-suite/kaniko/executor

go 1.26.8

replace github.com/kaniko-suite/kaniko/shared => ../shared

require (
	github.com/kaniko-suite/kaniko/shared v0.0.0
	golang.org/x/sys v0.49.0
)
