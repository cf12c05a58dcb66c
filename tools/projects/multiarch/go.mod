module example.com/acme/which

go 1.22
