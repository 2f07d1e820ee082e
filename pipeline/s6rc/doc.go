// Package s6rc reads the two formats of s6-overlay v3: the service source
// directories that s6-rc-compile reads (/etc/s6-overlay/s6-rc.d) and the log
// lines that s6-rc writes while it boots and stops a container.
//
// # Service trees
//
// [Load] reads a tree as s6-rc-compile does and complains in its very words:
//
//	tree, err := s6rc.Load(os.DirFS("/etc/s6-overlay/s6-rc.d"))
//
// The error, if any, is a [Problems]: its Error is what the real program
// prints behind "s6-rc-compile: fatal: ", its elements are everything that is
// wrong.
//
// A supervisor that plays s6-rc brings up the bundle "top":
//
//   - [Tree.Closure] returns all that has to be up for it, in the order s6-rc
//     looks at it (descending database index);
//   - a service starts as soon as all its [Service.Deps] are up. When one
//     comes up, look at its [Service.Dependents] in the order they stand;
//     going down the two change places;
//   - a oneshot runs [Service.Up] (an argument vector for execve, blocks
//     encoded as the execline programs expect them); an empty one succeeds at
//     once. A longrun is ready at spawn, or, with a NotificationFD, when it has
//     written a newline there.
//
// # Logs
//
// [ParseLine] turns one line into an [Event]. Lines of 3.1.6.2, 3.2.1.0 and
// 3.2.3.0 are known. Anything that is not s6's own is KindOutput.
//
// The facts stem from the recorded cases under testdata/recorded, which
// package recording reads.
package s6rc
