package wire

// BaseConfig says what the root is made of.
type BaseConfig struct{}

func (b *BaseConfig) fields(*codec) {}
