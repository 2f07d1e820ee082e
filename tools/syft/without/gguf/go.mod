module github.com/gpustack/gguf-parser-go

go 1.26.8
