package dagger

// ShimProgram is what the engine compiles for each container.
var ShimProgram = shimProgram
