package guest

import (
	"fmt"
	"syscall"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// freeze stops every process but init, until thawed or, with Hold, until the
// connection ends, so that a host that dies leaves nothing frozen.
func (s *server) freeze(c wire.Conn, r *wire.Request) {
	if !s.gate.shut() {
		if r.Hold {
			reply(c, fmt.Errorf("the sandbox is frozen already: %w", syscall.EBUSY))
			return
		}
		reply(c, nil)
		return
	}
	if err := s.stopAll(); err != nil {
		s.resume()
		reply(c, err)
		return
	}
	reply(c, nil)
	if r.Hold {
		_, _ = c.Receive(&wire.Request{}, wire.MaxRequest)
		s.resume()
		reply(c, nil)
	}
}

func (s *server) thaw(c wire.Conn, _ *wire.Request) {
	s.resume()
	reply(c, nil)
}

// stopAll stops processes until two looks in a row find none running: a
// process that was forking during the first may have left a child.
func (s *server) stopAll() error {
	s.gate.before = map[int]bool{}
	for _, pid := range processes() {
		if state(pid) == 'T' {
			s.gate.before[pid] = true
		}
	}
	quiet, wait := 0, 200*time.Microsecond
	for start := time.Now(); time.Since(start) < stopTime; {
		stopEvery()
		if running() {
			quiet = 0
			time.Sleep(wait)
			wait = min(2*wait, 5*time.Millisecond)
			continue
		}
		if quiet++; quiet == 2 {
			return nil
		}
	}
	return fmt.Errorf("processes go on running: %w", syscall.EBUSY)
}

func stopEvery() {
	if plain == nil {
		_ = syscall.Kill(-1, syscall.SIGSTOP)
		return
	}
	for _, pid := range plain.processes() {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
}

// stopTime is how long processes may take to stop. Each has to get its turn
// first, of a machine that may have much to do.
const stopTime = 5 * time.Second

// running reports whether a process is neither stopped nor dead. One that has
// started another by vfork waits for that one, uninterruptibly, and stops
// later: if that one is stopped, it waits for the thaw.
func running() bool {
	waiting, stopped := map[int]bool{}, map[int]bool{}
	for _, pid := range processes() {
		state, parent := stateAndParent(pid)
		switch state {
		case 0, 'Z', 'X':
		case 'T', 't':
			stopped[parent] = true
		case 'D':
			waiting[pid] = true
			// A child of its that waits in turn will be looked at itself.
			stopped[parent] = true
		default:
			return true
		}
	}
	for pid := range waiting {
		if !stopped[pid] {
			return true
		}
	}
	return false
}

func (s *server) resume() {
	s.gate.open(func() {
		for _, pid := range processes() {
			if !s.gate.before[pid] {
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
		}
	})
}
