module example.com/tiny/mux

go 1.22
