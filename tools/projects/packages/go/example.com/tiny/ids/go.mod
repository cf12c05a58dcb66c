module example.com/tiny/ids

go 1.22
