// Package landlock restricts a thread, and all that it will start, to some
// files of this machine. It needs no privilege and no namespaces. Elsewhere
// than on Linux it is empty.
package landlock
