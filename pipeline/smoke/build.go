package smoke

import "github.com/linuxserver/docker-netbox/pipeline/gotool"

// Probe is the probe of the repository at repoDir, to be compiled for
// linux/goarch into outFile: a static program.
func Probe(repoDir, goarch, outFile string) gotool.Program {
	return gotool.Program{
		Dir: repoDir, Files: []string{"go.mod", "go.sum", "pipeline"},
		Package: "./pipeline/smoke/probe", GOARCH: goarch, Out: outFile,
	}
}
