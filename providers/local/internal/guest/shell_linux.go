package guest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// maxShells bounds how many named shells there are at once.
const maxShells = 64

// shells are the named shells of the sandbox.
type shells struct {
	mu     sync.Mutex
	byName map[string]*shell
}

// A shell is a named shell: a process that takes one line after the other from
// a pipe. A line runs one command, on FIFOs that are the command's alone, and
// then tells the command's exit code through another FIFO. That one is opened
// when the command is over, under a name that is as new: nothing that an
// earlier command left behind has it open, and nothing that a command prints
// goes there.
type shell struct {
	*child
	id      string
	name    string
	who     user
	control *os.File
	path    string   // of the directory of FIFOs
	dir     *os.File // the same
	turn    chan struct{}
	last    int // the exit code of the last command
}

var (
	errNoShell      = &opError{wire.CodeNoShell, errors.New("the shell has ended")}
	errTooManyShell = &opError{wire.CodeLimit, fmt.Errorf("there are %d named shells already", maxShells)}
)

// interruptSignal is what init sends to a shell to have it give up a command.
// The trap that answers it is an error of the shell's, which is what unwinds
// all that the shell is in the middle of, up to the eval of the command: shells
// of the Almquist family survive that, others end.
const interruptSignal = 62

// greeting is the first line of a shell.
const greeting = `\trap '\exec 2>/dev/null; : "${COMPUTE_INTERRUPT?}"' 62` + "\n"

// openShell finds the shell of a name, or starts it.
func (s *server) openShell(c wire.Conn, r *wire.Request) {
	s.shells.mu.Lock()
	defer s.shells.mu.Unlock()
	if sh := s.shells.byName[r.ID]; sh != nil && !sh.over() {
		_ = c.Send(&wire.Reply{ID: sh.id, PID: sh.pid})
		return
	}
	for name, sh := range s.shells.byName {
		if sh.over() {
			s.shells.drop(name)
		}
	}
	if len(s.shells.byName) >= maxShells {
		reply(c, errTooManyShell)
		return
	}
	sh, err := s.startShell(r)
	if err != nil {
		reply(c, err)
		return
	}
	if s.shells.byName == nil {
		s.shells.byName = map[string]*shell{}
	}
	s.shells.byName[r.ID] = sh
	_ = c.Send(&wire.Reply{ID: sh.id, PID: sh.pid})
}

func (s *server) startShell(r *wire.Request) (sh *shell, err error) {
	sh = &shell{id: rand.Text(), name: r.ID, turn: make(chan struct{}, 1)}
	if sh.who, err = s.root.lookupUser(r.User); err != nil {
		return nil, &opError{wire.CodeUser, err}
	}
	io := &stdio{child: [3]uintptr{0, s.null.Fd(), s.null.Fd()}}
	defer io.closeChild()
	if err := io.pipe(0); err != nil {
		io.close()
		return nil, err
	}
	sh.control = os.NewFile(uintptr(io.own[0]), "pipe")
	if err := sh.makeDir(); err != nil {
		_ = sh.control.Close()
		return nil, err
	}
	sh.child, err = s.launch(&wire.Request{Argv: []string{"/bin/sh"}, User: r.User, Env: r.Env}, io.child)
	if err == nil {
		_, err = sh.control.WriteString(greeting)
	}
	if err != nil {
		sh.release()
		return nil, err
	}
	return sh, nil
}

// makeDir makes the directory of FIFOs, on the file system of /dev: it is in
// memory, and in no snapshot. Without a /dev of its own, a sandbox has its place
// for temporary files.
func (sh *shell) makeDir() error {
	place, name := "/dev", ".shell-"+rand.Text()
	if plain != nil {
		place = plain.config.Temp
	}
	dir, err := unix.Open(place, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: place, Err: err}
	}
	defer unix.Close(dir)
	full := place + "/" + name
	if err := unix.Mkdirat(dir, name, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: full, Err: err}
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil && sh.who.uid|sh.who.gid != 0 {
		err = unix.Fchown(fd, int(sh.who.uid), int(sh.who.gid))
	}
	if err != nil {
		return &os.PathError{Op: "mkdir", Path: full, Err: err}
	}
	sh.path, sh.dir = full, os.NewFile(uintptr(fd), name)
	return nil
}

func (sh *shell) over() bool {
	select {
	case <-sh.exited:
		return true
	default:
		return false
	}
}

// release gives back what a shell has, but for its processes.
func (sh *shell) release() {
	_ = sh.control.Close()
	if names, err := sh.dir.Readdirnames(-1); err == nil {
		for _, name := range names {
			_ = unix.Unlinkat(int(sh.dir.Fd()), name, 0)
		}
	}
	_ = sh.dir.Close()
	_ = unix.Rmdir(sh.path)
	if sh.child != nil {
		sh.mark.close()
	}
}

// drop forgets the shell of a name. The caller has the lock. A command that
// still uses the shell has its turn; it is waited for.
func (t *shells) drop(name string) {
	sh := t.byName[name]
	delete(t.byName, name)
	go func() {
		sh.turn <- struct{}{} // for good
		sh.release()
	}()
}

func (t *shells) get(id string) (*shell, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sh := range t.byName {
		if sh.id == id && !sh.over() {
			return sh, nil
		}
	}
	return nil, errNoShell
}

// closeShell ends a shell and all that was started in it.
func (s *server) closeShell(c wire.Conn, r *wire.Request) {
	s.shells.mu.Lock()
	defer s.shells.mu.Unlock()
	for name, sh := range s.shells.byName {
		if sh.id != r.ID {
			continue
		}
		if err := killTree(sh.mark.inode); err != nil {
			reply(c, err)
			return
		}
		<-sh.exited
		s.shells.drop(name)
	}
	reply(c, nil)
}

// line is what the shell is given to run a command, whose text is a word for
// eval. First it says that it has opened its input. After a command that failed
// $? is what it would be.
func (sh *shell) line(word string, f *fifos) string {
	status := sh.path + "/" + f.statusName
	begin := `\command \echo o >` + status + "; "
	if sh.last != 0 {
		begin += "(exit " + strconv.Itoa(sh.last) + "); "
	}
	in := "/dev/null"
	if f.in != nil {
		in = sh.path + "/" + f.name("in")
	}
	return fmt.Sprintf(`\command \eval '%s'%s <%s >%s 2>%s; \command \echo "e$?" >%s`+"\n",
		begin, word, in, sh.path+"/"+f.name("out"), sh.path+"/"+f.name("err"), status)
}

// interrupt has the shell give up its command: its processes are killed, those
// that were there before it and their children are spared. It reports whether
// the shell is ready for another command.
func (s *server) interrupt(sh *shell, before map[int]string, ended <-chan int) bool {
	_ = s.spawner.reaper.signalOne(sh.child, interruptSignal)
	for deadline := time.Now().Add(interruptTime); time.Now().Before(deadline); {
		killEach(sh.foreground(before))
		select {
		case <-ended:
			return s.sweep(sh, before)
		case <-sh.exited:
			return false
		case <-time.After(2 * time.Millisecond):
		}
	}
	return false
}

// interruptTime is how long a shell has to give up a command.
const interruptTime = time.Second

// sweep kills what the command started last. A command that cannot be caught
// up with costs the shell its life.
func (s *server) sweep(sh *shell, before map[int]string) bool {
	for range maxRounds {
		pids := sh.foreground(before)
		if len(pids) == 0 {
			return true
		}
		killEach(pids)
		time.Sleep(time.Millisecond)
	}
	return false
}

func killEach(pids []int) {
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}
