package engine

import "time"

// Limits bound what a sandbox may use; zero fields do not.
type Limits struct {
	Memory    int64   // bytes, of all processes together
	CPUs      float64 // processors
	Processes int     // processes and threads together
	OpenFiles int     // of each process

	Disk    int64 // bytes that the sandbox may have written, in this run and earlier ones
	Inodes  int64 // files; 0 with a Disk is as many as suit its size
	Earlier int   // how many of the last layers are the sandbox's own, from earlier runs

	Deadline time.Duration // when the sandbox ends, on the clock of Uptime
	Idle     time.Duration // how long it may be unused

	CommandTime time.Duration // how long a command may run
	Output      int64         // bytes that a background process may print; for the others see Command
}

// Limits for which an Exit says that a command was killed.
const (
	LimitMemory = "memory"
	LimitDisk   = "disk"
	LimitOutput = "output"
	LimitTime   = "time"
)

// A Usage is what a sandbox uses.
type Usage struct {
	CPU       time.Duration // of this run
	Memory    int64         // bytes
	Disk      int64         // bytes written, in this run and the earlier ones of Limits; 0 if not known
	Processes int           // without init
	Uptime    time.Duration // of this run
}

// An Event is something that happened in a sandbox.
type Event struct {
	Time time.Time
	Text string
	Lost bool // events before it were lost
}

// An End is why a sandbox's init has ended, as far as that is known.
type End string

// Ends.
const (
	EndUnknown  End = ""
	EndLifetime End = "lifetime"
	EndIdle     End = "idle"
	EndMemory   End = "memory" // the kernel killed it for want of memory
)
