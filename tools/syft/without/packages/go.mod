module golang.org/x/tools

go 1.26.8
