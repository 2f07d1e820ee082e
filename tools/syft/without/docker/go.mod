module github.com/moby/moby/client

go 1.26.8
