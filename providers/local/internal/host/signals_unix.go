//go:build unix

package host

import (
	"os"
	"os/signal"
	"syscall"
)

// hearIgnored sees to it that commands do not ignore what this program does, as
// one does that nohup has started: a command would inherit that, but not that a
// signal is handled. To this program a signal that it hears of, and does nothing
// about, is the same as before.
func hearIgnored() {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}
