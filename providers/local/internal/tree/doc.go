// Package tree removes and copies directory trees that hostile programs have
// made: it never follows a symbolic link and never opens anything but
// directories and regular files.
package tree
