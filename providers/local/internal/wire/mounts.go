package wire

// MountConfig is a directory of the host in the sandbox.
type MountConfig struct{}

func (m *MountConfig) fields(*codec) {}
