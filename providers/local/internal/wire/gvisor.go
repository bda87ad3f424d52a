package wire

// GVisorConfig makes an init the keeper of a gVisor sandbox, whose own init
// serves the commands.
type GVisorConfig struct {
	On      bool // runsc comes as the last descriptor
	Restore bool // from the image of a checkpoint, rather than anew
}

func (g *GVisorConfig) fields(c *codec) {
	c.bool(&g.On)
	c.bool(&g.Restore)
}

// The operations that only gVisor sandboxes have.
const (
	OpCheckpoint = "checkpoint" // of the keeper: save the sandbox, and end it
	OpDoze       = "doze"       // of the init: close all connections until there is GVisorWake
	OpSync       = "sync"       // of the init: write back what is cached
)

// Names in a gVisor sandbox's directory, as the keeper has it.
const (
	GVisorProgram = "init"       // the program of init
	GVisorControl = "ctl"        // what init shares with this machine:
	GVisorConfigs = "ctl/config" // its Config,
	GVisorSocket  = "ctl/sock"   // its socket,
	GVisorWake    = "ctl/wake"   // and what ends its doze
	GVisorImage   = "image"      // the last checkpoint
)

// GVisorDir is where a gVisor sandbox sees these names.
const GVisorDir = "/dev/.compute"

// StdinWindow is how many frames of a command's input may be under way.
const StdinWindow = 8
