module example.com/acme/api

go 1.22

require example.com/acme/shared v0.0.0

replace example.com/acme/shared => ../../libs/shared
