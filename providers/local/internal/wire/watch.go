package wire

// What an Entry of a watch tells of its file, as its Mode.
const (
	WatchCreated = 1 + iota
	WatchWritten
	WatchRemoved
)
