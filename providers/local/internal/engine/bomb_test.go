//go:build linux

package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const bombName = "./compute-bomb"

func init() {
	if os.Args[0] == bombName {
		bomb(os.Args[1])
	}
}

// bomb forks as fast as that can be done, as a user of that number, in system
// calls alone, which is all that a fork of a Go program may do.
func bomb(user string) {
	if uid, err := strconv.Atoi(user); err == nil && uid > 0 {
		must(syscall.Setuid(uid))
	}
	for {
		_, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	}
}

// A sandbox survives processes without end at any moment of its youth, those of
// init's own user among them: its init needs no thread that it could be refused.
func TestForkBombAtOnce(t *testing.T) {
	ids, err := currentMap()
	if err != nil {
		t.Fatal(err)
	}
	users := []string{"0"}
	if ids.ranged() {
		users = append(users, "1000", "65535")
	}
	rounds := 2
	if n, err := strconv.Atoi(os.Getenv("COMPUTE_TEST_BOMBS")); err == nil {
		rounds = n
	}
	for _, user := range users {
		for i := range rounds {
			delay := time.Duration(rand.Int64N(int64(1200*time.Millisecond))) * time.Duration(i) / time.Duration(rounds) // the first at once
			t.Run(user+"/"+delay.String(), func(t *testing.T) { survives(t, user, delay) })
		}
	}
}

func survives(t *testing.T, user string, delay time.Duration) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "box")
	b, err := Start(t.Context(), Spec{Dir: dir, StateDir: sharedState(t)})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no sandboxes here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Destroy(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if err := b.WriteFile(t.Context(), bombName, program, 0o755); err != nil {
		t.Fatal(err)
	}
	work := operations(t, b)
	time.Sleep(delay)
	_, err = b.StartProcess(t.Context(), Command{Argv: []string{bombName, user}})
	if err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		exit, err := b.Exec(t.Context(), Command{Argv: []string{"/bin/sh", "-c", "(exit 0) & wait"}, User: user})
		if errors.Is(err, syscall.EAGAIN) || err == nil && exit.Code != 0 {
			break
		}
		if err != nil || time.Now().After(until) {
			t.Fatal("the processes did not come to their limit: ", err)
		}
	}
	var busy sync.WaitGroup
	for _, f := range work {
		for range 20 {
			busy.Go(func() {
				if err := f(); err != nil && !errors.Is(err, syscall.EAGAIN) {
					t.Error(err)
				}
			})
		}
	}
	busy.Wait()
	if _, err := b.Stat(t.Context(), "/etc/passwd"); err != nil {
		t.Error(err)
	}
}
