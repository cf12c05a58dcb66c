module github.com/kaniko-suite/kaniko/tools

go 1.26.8
