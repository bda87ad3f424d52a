package wire

// LandlockConfig tells an init that has no namespaces what to do without.
type LandlockConfig struct {
	Work string // where commands run and relative names start
	Home string
	Temp string
	// Files of this machine that commands may use.
	Own     []string // any way they like
	Run     []string // to read and execute
	Read    []string
	Devices []string // to read, write and control
	// Mark is the lowest of the numbers by which its processes are marked, of
	// which there are MarkCount.
	Mark uint64
	// OwnUser says that no other process has the user that its processes have.
	OwnUser bool
}

// MarkCount is how many marks a sandbox has.
const MarkCount = 1 << 24

func (l *LandlockConfig) fields(c *codec) {
	c.str(&l.Work)
	c.str(&l.Home)
	c.str(&l.Temp)
	c.strs(&l.Own)
	c.strs(&l.Run)
	c.strs(&l.Read)
	c.strs(&l.Devices)
	c.u64(&l.Mark)
	c.bool(&l.OwnUser)
}
