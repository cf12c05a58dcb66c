module github.com/kaniko-suite/kaniko/tools/bench

go 1.26.8
