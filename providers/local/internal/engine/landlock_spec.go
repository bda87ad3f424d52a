package engine

// A Restriction tells how well this system restricts a sandbox that has no
// namespaces.
type Restriction struct {
	ABI     int  // the version of Landlock; 0 if there is none
	OwnUser bool // each sandbox has a user ID that nobody else has
	Signals bool // commands cannot end processes of this program's user
}
