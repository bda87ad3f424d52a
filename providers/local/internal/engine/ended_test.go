//go:build linux

package engine

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// The socket of an init that has ended may still be open for a moment, in a
// process that is being started and has all descriptors of its parent: whoever
// connects to it is accepted by the kernel, and then turned away.
func TestDestroyWhileItsSocketLingers(t *testing.T) {
	for _, tt := range []struct {
		name string
		hear bool // the request is read before the connection ends
	}{{name: "reset"}, {name: "ended", hear: true}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "box")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			ended := exec.Command("true")
			if err := ended.Run(); err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(record{PID: ended.Process.Pid, Start: "1", Boot: BootID()})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, recordName), data, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := listen(filepath.Join(dir, socketName))
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.FileListener(f)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			done := make(chan error, 1)
			go func() {
				c, err := l.Accept()
				if err == nil && tt.hear {
					var r wire.Request
					_, err = wire.Conn{UnixConn: c.(*net.UnixConn)}.Receive(&r, wire.MaxRequest)
				}
				if err == nil {
					err = c.Close()
				}
				_ = l.Close()
				done <- err
			}()
			if err := Destroy(t.Context(), dir); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(dir); !os.IsNotExist(err) {
				t.Errorf("the directory is still there: %v", err)
			}
		})
	}
}
