package dagger

// What the engine compiles.
var (
	ShimProgram    = shimProgram
	RewriteProgram = rewriteProgram
)
