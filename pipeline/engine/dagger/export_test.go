package dagger

// The programs that the engine compiles.
var (
	ShimProgram    = shimProgram
	RewriteProgram = rewriteProgram
)
