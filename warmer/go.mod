module github.com/kaniko-suite/kaniko/warmer

go 1.26.8

require github.com/kaniko-suite/kaniko/shared v0.0.0

replace github.com/kaniko-suite/kaniko/shared => ../shared
