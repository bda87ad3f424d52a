// Package workspace prepares the files of a sandbox from a manifest, carries
// them away as an archive, and puts them back: for any [compute.Sandbox] with a
// POSIX shell and the usual programs.
//
// A [Manifest] says what a workspace holds. [Apply] makes it so, [Persist] and
// [Hydrate] carry what has become of it from one sandbox to another,
// [TakeIndex], [Fingerprint] and [Diff] tell what has changed, and [Snapshot]
// and [Restore] use the provider's own copies instead.
//
// # What stays inside
//
// Code in a sandbox may put links where a manifest has directories, also while
// it is being applied. Nothing here follows one. Content is first put into a
// directory of its own in /tmp, whose name nobody can guess. From there one
// command moves it to its place: it enters each directory, makes sure by the
// kernel's word that it is where the name says, and then uses names without a
// slash only, which no link can bend. A directory that is swapped for a link in
// between is an error, and a file that is one is replaced, not followed.
//
// What this promises:
//
//   - [Apply] and [Hydrate] write nothing outside of the root and the grants that
//     are not read-only. No component of the root's or a grant's own name may be
//     a link.
//   - Each file is there with all of its content, owner and mode, or not at all,
//     where /tmp and the workspace are on one file system. Where they are not, a
//     file can be seen half written.
//   - [Persist] and [TakeIndex] go through no link below the root, as far as
//     [compute.ReadArchive] of the provider does not. That the root itself is
//     none is looked at before and after.
package workspace
