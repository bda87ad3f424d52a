package wire

// LimitsConfig bounds what the sandbox may use.
type LimitsConfig struct{}

func (l *LimitsConfig) fields(*codec) {}
