module example.com/acme/service

go 1.22

require (
	example.com/tiny/ids v0.2.0
	example.com/tiny/mux v1.1.0
)
