package wire

// The operations of a sandbox's init.
const (
	OpPing      = "ping"
	OpShutdown  = "shutdown"
	OpExec      = "exec" // its pipes come along; see Request
	OpStart     = "start"
	OpList      = "list"
	OpInfo      = "info"
	OpWait      = "wait"
	OpOutput    = "output"
	OpStdin     = "stdin"
	OpSignal    = "signal"
	OpKill      = "kill"
	OpResize    = "resize"
	OpRead      = "read"
	OpWrite     = "write"
	OpCommit    = "commit"
	OpStat      = "stat"
	OpLstat     = "lstat"
	OpReadDir   = "readdir"
	OpMkdirAll  = "mkdirall"
	OpRemoveAll = "removeall"
	OpRename    = "rename"
	OpTarOut    = "tarout"
	OpTarIn     = "tarin"
	OpDial      = "dial"
	OpFreeze    = "freeze"
	OpThaw      = "thaw"

	OpShellOpen  = "shellopen"
	OpShellRun   = "shellrun"
	OpShellClose = "shellclose"
	OpWatch      = "watch"
	OpOwn        = "own"
)

// Why an operation failed, beyond its errno.
const (
	CodeOther      = "other"
	CodeBadRequest = "bad-request"
	CodeVersion    = "version"
	CodeDir        = "dir"       // the working directory cannot be entered
	CodeNotFound   = "not-found" // the program does not exist
	CodeNotExec    = "not-exec"  // the program cannot be executed
	CodeUser       = "user"      // the user cannot be had
	CodeNoProcess  = "no-process"
	CodeLimit      = "limit"
	CodeUnmapped   = "unmapped" // the user cannot be had in this sandbox
	CodeNoShell    = "no-shell"
	CodeLost       = "lost"  // some events are
	CodeMount      = "mount" // a volume cannot be mounted there
)

// Streams of a process.
const (
	Stdout = 1
	Stderr = 2 // another bit: OpStart can name both
)

// A Size is the size of a terminal in characters; the zero Size is none.
type Size struct{ Rows, Cols uint32 }

func (s *Size) fields(c *codec) {
	c.u32(&s.Rows)
	c.u32(&s.Cols)
}

// A Request asks for one operation. Each operation reads the fields it needs.
//
// Connections are of one operation each, but for commands whose input and
// outputs are pipes: when one has ended, the next request may come over its
// connection. With such a request come those ends of its pipes that are to be the
// command's standard files, three with Stdin and two without, and then the other
// ends of both outputs. The answer comes when the command has ended. Before it come
// replies that are not Done: if there is Stdin, one when the command has been
// started; and one when an OpKill has arrived after that.
//
// A process that OpStart has started is killed if the connection ends before an
// OpCommit: then nobody knows of it.
type Request struct {
	Op     string
	Argv   []string
	Env    []string
	Dir    string
	User   string
	TTY    bool
	Size   Size
	Stdin  bool
	ID     string
	Stream int
	Offset int64
	Follow bool
	Signal int
	Path   string
	To     string
	Mode   uint32
	Net    string
	// Hold: freeze: thaw when the connection ends. Start: until the connection
	// ends, hold the process back for a reader of each output in Stream, which may
	// be both. Output: be that reader.
	Hold bool
	EOF  bool // stdin: close it after the data
}

func (r *Request) fields(c *codec) {
	c.str(&r.Op)
	c.strs(&r.Argv)
	c.strs(&r.Env)
	c.str(&r.Dir)
	c.str(&r.User)
	c.bool(&r.TTY)
	r.Size.fields(c)
	c.bool(&r.Stdin)
	c.str(&r.ID)
	c.int(&r.Stream)
	c.i64(&r.Offset)
	c.bool(&r.Follow)
	c.int(&r.Signal)
	c.str(&r.Path)
	c.str(&r.To)
	c.u32(&r.Mode)
	c.str(&r.Net)
	c.bool(&r.Hold)
	c.bool(&r.EOF)
}

// A Fault is an error that crossed the wire. The zero Fault is none.
type Fault struct {
	Code  string
	Errno int
	Text  string
}

func (f *Fault) fields(c *codec) {
	c.str(&f.Code)
	c.int(&f.Errno)
	c.str(&f.Text)
}

// An Exit tells how a process ended. Times are nanoseconds.
type Exit struct {
	Code     int // valid when Signal is 0
	Signal   int
	Duration int64
	User     int64
	System   int64
	MaxRSS   int64  // bytes
	Limit    string // for which it was killed, if it was
}

func (e *Exit) fields(c *codec) {
	c.int(&e.Code)
	c.int(&e.Signal)
	c.i64(&e.Duration)
	c.i64(&e.User)
	c.i64(&e.System)
	c.i64(&e.MaxRSS)
	c.str(&e.Limit)
}

// A Process describes a background process.
type Process struct {
	ID      string
	PID     int
	Argv    []string
	Dir     string
	TTY     bool
	Started int64 // Unix nanoseconds
	Done    bool
	Exit    Exit
	Stdout  int64 // bytes written so far
	Stderr  int64
}

func (p *Process) fields(c *codec) {
	c.str(&p.ID)
	c.int(&p.PID)
	c.strs(&p.Argv)
	c.str(&p.Dir)
	c.bool(&p.TTY)
	c.i64(&p.Started)
	c.bool(&p.Done)
	p.Exit.fields(c)
	c.i64(&p.Stdout)
	c.i64(&p.Stderr)
}

// An Entry describes a file. Mode is st_mode as the kernel has it.
type Entry struct {
	Name  string
	Mode  uint32
	Size  int64
	MTime int64 // Unix nanoseconds
	UID   uint32
	GID   uint32
	Link  string // where a symbolic link points
}

func (e *Entry) fields(c *codec) {
	c.str(&e.Name)
	c.u32(&e.Mode)
	c.i64(&e.Size)
	c.i64(&e.MTime)
	c.u32(&e.UID)
	c.u32(&e.GID)
	c.str(&e.Link)
}

// A Reply answers a Request.
type Reply struct {
	Fault     Fault
	PID       int
	ID        string
	Done      bool
	Exit      Exit
	Offset    int64
	Entries   []Entry
	Processes []Process
	Usage     Usage
	Event     Event
}

func (r *Reply) fields(c *codec) {
	r.Fault.fields(c)
	c.int(&r.PID)
	c.str(&r.ID)
	c.bool(&r.Done)
	r.Exit.fields(c)
	c.i64(&r.Offset)
	entries := c.count(len(r.Entries))
	for i := 0; i < entries && c.err == nil; i++ {
		if c.reading {
			r.Entries = append(r.Entries, Entry{})
		}
		r.Entries[i].fields(c)
	}
	processes := c.count(len(r.Processes))
	for i := 0; i < processes && c.err == nil; i++ {
		if c.reading {
			r.Processes = append(r.Processes, Process{})
		}
		r.Processes[i].fields(c)
	}
	r.Usage.fields(c)
	r.Event.fields(c)
}

// A Tree is one overlay of the sandbox's root: the upper and work directories
// of that name over the layers' directories of that name, over the host's
// directory Host if it is not empty.
type Tree struct {
	Name   string
	Target string
	Host   string
}

func (t *Tree) fields(c *codec) {
	c.str(&t.Name)
	c.str(&t.Target)
	c.str(&t.Host)
}

// A Config tells a fresh init what to become.
type Config struct {
	Box      string   // the sandbox's directory, with upper and work
	Layers   []string // lowest first
	Trees    []Tree
	Fds      bool // mounts of Box, Layers and hosts come as descriptors, in that order
	Hostname string
	Env      []string
	Ranged   bool // more IDs than root are mapped
	MaxProcs uint64

	Base   BaseConfig
	Limits LimitsConfig
	Mounts []MountConfig
	GVisor GVisorConfig

	Landlock LandlockConfig // of an init without namespaces
}

func (g *Config) fields(c *codec) {
	c.str(&g.Box)
	c.strs(&g.Layers)
	n := c.count(len(g.Trees))
	for i := 0; i < n && c.err == nil; i++ {
		if c.reading {
			g.Trees = append(g.Trees, Tree{})
		}
		g.Trees[i].fields(c)
	}
	c.bool(&g.Fds)
	c.str(&g.Hostname)
	c.strs(&g.Env)
	c.bool(&g.Ranged)
	c.u64(&g.MaxProcs)
	g.Base.fields(c)
	g.Limits.fields(c)
	n = c.count(len(g.Mounts))
	for i := 0; i < n && c.err == nil; i++ {
		if c.reading {
			g.Mounts = append(g.Mounts, MountConfig{})
		}
		g.Mounts[i].fields(c)
	}
	g.Landlock.fields(c)
	g.GVisor.fields(c)
}
