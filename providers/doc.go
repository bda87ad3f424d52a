// Package providers is the toolbox of those who write providers of package
// compute. The providers themselves are in the directories below.
//
// The smallest provider has a Name and the four methods of
// [compute.Sandboxes], gets the rest of [compute.Compute] by embedding
// [Unimplemented], runs commands from one line of shell made by [ShellLine],
// and makes its sandboxes' files from their commands with [ShellFilesystem].
// [Streams] sorts out where a command's output goes, [Paginate] and [Filter]
// make listings, [Kind] reads HTTP statuses, and [Cleanup] gives the work that
// follows a failure a context of its own. Package computetest checks the
// result.
package providers
