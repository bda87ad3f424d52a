package guest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/seccomp"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// AgentName is the program, and so the first argument, of the init of a gVisor
// sandbox.
const AgentName = wire.GVisorDir + "/" + wire.GVisorProgram

// An agent is what the init of a gVisor sandbox is more than a server. Its
// socket is in a directory of this machine, which gVisor lets it make sockets
// in. Descriptors do not pass through that: contents go over the connections.
type agent struct {
	mu    sync.Mutex
	conns map[wire.Conn]struct{} // nil while it dozes
	work  sync.WaitGroup
	doze  chan wire.Conn // who has asked for it
}

func newAgent() *agent {
	return &agent{conns: map[wire.Conn]struct{}{}, doze: make(chan wire.Conn)}
}

func runAgent() {
	if os.Getpid() != 1 {
		return // a program that happens to have the name
	}
	code := make(chan int)
	go func() { code <- serveAgent() }()
	syscall.Exit(<-code)
}

func agentFile(name string) string { return wire.GVisorDir + "/" + name }

func serveAgent() int {
	s, err := prepareAgent()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox init:", err) // the keeper reads it
		return 1
	}
	go s.spawner.reaper.loop()
	for {
		l, err := listenAgent()
		if err != nil {
			return 1
		}
		s.serveUntilDoze(l)
		s.sleepUntilWake()
	}
}

func prepareAgent() (*server, error) {
	config, err := agentConfig()
	if err != nil {
		return nil, err
	}
	s := newServer(config)
	s.processors.use() // gVisor takes its time to give one to another thread
	s.agent = newAgent()
	unix.Umask(0o022)
	steps := []step{
		{"opening devices", s.openDevices},
		{"naming the sandbox", func() error { return s.root.setHostname(config) }},
		{"making the working directory", func() error { return s.root.makeWorkDir(config.Base.Dir) }},
		{"preparing the spawner", func() (err error) { s.spawner, err = newSpawner(s.limits); return err }},
		{"setting limits", func() error { return setLimits(config.MaxProcs) }},
		{"installing the seccomp filter", func() error { return seccomp.Install() }},
		{"shielding init", shield},
	}
	for _, st := range steps {
		if err := st.do(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func agentConfig() (*wire.Config, error) {
	name := agentFile(wire.GVisorConfigs)
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var config wire.Config
	if err := wire.Unmarshal(data, &config); err != nil {
		return nil, err
	}
	return &config, os.Remove(name)
}

// listenAgent opens the socket in the place of the one before.
func listenAgent() (*net.UnixListener, error) {
	name := agentFile(wire.GVisorSocket)
	if err := os.RemoveAll(name); err != nil {
		return nil, err
	}
	old := unix.Umask(0o077)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	unix.Umask(old)
	return l, err
}

// serveUntilDoze returns when the sandbox is to be saved, with nothing left
// that leads out of it: that could not be saved.
func (s *server) serveUntilDoze(l *net.UnixListener) {
	go s.acceptAgent(l)
	c := <-s.agent.doze
	_ = l.Close() // and removes the socket
	s.agent.hangUp()
	_ = c.Send(&wire.Reply{Done: true})
	_ = c.Close()
}

func (s *server) acceptAgent(l *net.UnixListener) {
	for {
		u, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // out of descriptors, perhaps
			continue
		}
		c := wire.Conn{UnixConn: u}
		if !s.agent.track(c) {
			_ = c.Close()
			continue
		}
		go func() {
			defer s.agent.drop(c)
			s.handle(c)
		}()
	}
}

func (a *agent) track(c wire.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conns == nil {
		return false
	}
	a.conns[c] = struct{}{}
	a.work.Add(1)
	return true
}

func (a *agent) drop(c wire.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, c)
	a.work.Done()
}

// hangUp ends all operations: commands that somebody waits for, too, as when
// he had gone.
func (a *agent) hangUp() {
	a.mu.Lock()
	for c := range a.conns {
		_ = c.Close()
	}
	a.conns = nil
	a.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.work.Wait()
	}()
	select {
	case <-done:
	case <-time.After(hangUpTime): // one may be writing to a process that does not read
	}
}

// hangUpTime is how long operations may take to notice that they are over.
const hangUpTime = 2 * time.Second

// wakePause is how often the agent looks whether it is to go on.
const wakePause = 5 * time.Millisecond

// sleepUntilWake is where an agent is while it is saved, and where it goes on
// when it is restored.
func (s *server) sleepUntilWake() {
	name := agentFile(wire.GVisorWake)
	for {
		if _, err := os.Lstat(name); err == nil {
			break
		}
		time.Sleep(wakePause)
	}
	_ = os.RemoveAll(name)
	s.agent.mu.Lock()
	defer s.agent.mu.Unlock()
	s.agent.conns = map[wire.Conn]struct{}{}
}

// agentOperations are those that go otherwise in gVisor sandboxes.
var agentOperations = map[string]func(*server, wire.Conn, *wire.Request){
	wire.OpExec:  (*server).execInline,
	wire.OpRead:  (*server).readInline,
	wire.OpWrite: (*server).writeInline,
	wire.OpDial:  (*server).dialInline,
	wire.OpDoze:  (*server).startDoze,
	wire.OpSync:  (*server).sync,
}

func (s *server) operation(name string) (func(*server, wire.Conn, *wire.Request), bool) {
	if s.agent != nil {
		if op, ok := agentOperations[name]; ok {
			return op, true
		}
	}
	op, ok := operations[name]
	return op, ok
}

// startDoze gives its connection away: the last word on it is that of
// serveUntilDoze.
func (s *server) startDoze(c wire.Conn, _ *wire.Request) {
	f, err := c.File()
	if err != nil {
		reply(c, err)
		return
	}
	last, err := fileConnOf(f)
	if err != nil {
		reply(c, err)
		return
	}
	select {
	case s.agent.doze <- last:
	default: // it dozes
		_ = last.Close()
	}
}

func fileConnOf(f *os.File) (wire.Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return wire.Conn{}, err
	}
	return wire.Conn{UnixConn: c.(*net.UnixConn)}, nil //nolint:forcetypeassert // it was one
}

// sync writes back what the sandbox's kernel holds of files.
func (s *server) sync(c wire.Conn, _ *wire.Request) {
	unix.Sync()
	reply(c, nil)
}
