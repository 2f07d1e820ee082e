// Package rehearsal runs the complete workflows of .github/workflows with the
// runner act. The program in standin replaces what GitHub provides.
//
//   - The actions, gh and keyless signing are stand-ins that behave like the
//     originals where a workflow can notice. They fail on an unknown input or call.
//   - The registries have their real names and require the secrets of the
//     workflows. Jobs reach them through a proxy that refuses GitHub.
//   - A job can only do what its permissions allow.
//   - By default the check of an image, which takes minutes, is replaced too, and
//     jobs run without containers. With -soak one image job runs in its container
//     without replacements, and README's first command in another container.
package rehearsal
