// Package rehearsal runs the workflows under .github/workflows whole, by the
// runner act, as GitHub would: what stands in for GitHub's own is under standin.
//
//   - The actions, gh and keyless signing are stand-ins that are faithful where
//     a workflow can notice; an input or a call that they do not know fails.
//   - The registries have their real names and ask for the real secrets. They
//     lie behind a proxy that lets nobody through to GitHub.
//   - A job may do what its permissions say, and no more.
//   - In the default run the check of an image, which takes minutes, is stood
//     in for as well, and no job has a container. With -soak one image job runs
//     whole, in its container, and README's first command in another.
package rehearsal
