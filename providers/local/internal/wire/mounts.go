package wire

// MountConfig is a directory of the host in the sandbox. Source is its path on
// the host, where no descriptor comes for it.
type MountConfig struct {
	Source   string
	Target   string
	ReadOnly bool
}

func (m *MountConfig) fields(c *codec) {
	c.str(&m.Source)
	c.str(&m.Target)
	c.bool(&m.ReadOnly)
}
