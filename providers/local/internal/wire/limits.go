package wire

// Operations about what a sandbox uses and how long it lives.
const (
	OpUsage  = "usage"  // one reply
	OpCPU    = "cpu"    // one reply: as usage, of the processor time alone
	OpExtend = "extend" // the deadline becomes Offset
	OpEvents = "events" // replies with events as they come, until either side hangs up
)

// CodeOver says that the sandbox's life has ended.
const CodeOver = "over"

// Limits for which init kills a command, as an Exit names them.
const (
	LimitMemory = "memory"
	LimitDisk   = "disk"
	LimitOutput = "output"
	LimitTime   = "time"
)

// Why an init ended by itself, as it notes in the file EndFile.
const (
	EndLifetime = "lifetime"
	EndIdle     = "idle"
)

// Files that come with a LimitsConfig, open, by their meaning.
const (
	EndFile     = "end"     // to be written: why init ended
	OOMFile     = "oom"     // has a line "oom_kill N"
	MemoryFile  = "memory"  // has the bytes of memory in use
	ForksFile   = "forks"   // has a line "max N": how often a process was refused
	ScoreFile   = "score"   // to be written: how soon what init starts is killed for want of memory
	CPUTimeFile = "cputime" // has nanoseconds, or a line "usage_usec N"
)

// SpareThreads is how many more threads init may have than it needs: none can be
// made when the limit of processes is reached, and that ends it. So many
// processes more than the limit can run.
const SpareThreads = 4

// LimitsConfig bounds what the sandbox may use. Zero fields bound nothing.
// Instants are nanoseconds of CLOCK_BOOTTIME, durations nanoseconds.
type LimitsConfig struct {
	Files       []string // what the descriptors mean that come with the Config, after the socket
	Memory      int64    // bytes: init has to see to it, as no cgroup does
	MemoryGroup int64    // bytes: a cgroup sees to it
	Processes   uint64
	OpenFiles   uint64
	Disk        int64 // bytes
	Inodes      int64
	Earlier     int      // how many of the last layers are the sandbox's own
	Images      []string // which layers, by their number, are in a directory "upper"
	Deadline    int64
	Idle        int64
	CommandTime int64
	Output      int64 // bytes of both outputs of a background process
}

func (l *LimitsConfig) fields(c *codec) {
	c.strs(&l.Files)
	c.i64(&l.Memory)
	c.i64(&l.MemoryGroup)
	c.u64(&l.Processes)
	c.u64(&l.OpenFiles)
	c.i64(&l.Disk)
	c.i64(&l.Inodes)
	c.int(&l.Earlier)
	c.strs(&l.Images)
	c.i64(&l.Deadline)
	c.i64(&l.Idle)
	c.i64(&l.CommandTime)
	c.i64(&l.Output)
}

// Usage is what a sandbox uses. Times are nanoseconds.
type Usage struct {
	CPU       int64
	Memory    int64 // bytes
	Disk      int64 // bytes
	Processes int
	Uptime    int64
}

func (u *Usage) fields(c *codec) {
	c.i64(&u.CPU)
	c.i64(&u.Memory)
	c.i64(&u.Disk)
	c.int(&u.Processes)
	c.i64(&u.Uptime)
}

// An Event is something that happened in a sandbox.
type Event struct {
	Time int64 // Unix nanoseconds
	Text string
	Lost bool // events before this one were lost
}

func (e *Event) fields(c *codec) {
	c.i64(&e.Time)
	c.str(&e.Text)
	c.bool(&e.Lost)
}
