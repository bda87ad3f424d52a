package runlooptest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/computekit/compute/providers/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(program{m}) }

// program closes what its tests share, before goroutines are counted.
type program struct{ *testing.M }

func (p program) Run() int {
	code := p.M.Run()
	if err := closeLocal(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// openLocal opens the provider that all tests share: one takes its time to find
// out what the machine can do.
var (
	openLocal = sync.OnceValues(func() (*local.Provider, error) {
		dir, err := os.MkdirTemp("", "runlooptest-*")
		if err != nil {
			return nil, err
		}
		c, err := local.New(local.Config{Dir: dir})
		closeLocal = func() error {
			var closed error
			if c != nil {
				closed = c.Close()
			}
			return errors.Join(closed, os.RemoveAll(dir))
		}
		return c, err
	})
	closeLocal = func() error { return nil }
)
