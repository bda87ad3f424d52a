package wire

// BaseConfig says what the root is made of.
type BaseConfig struct {
	Dir string // where commands run; empty is the default
}

func (b *BaseConfig) fields(c *codec) { c.str(&b.Dir) }
