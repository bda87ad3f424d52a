//go:build linux

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// startedBy makes a program of the test binary that starts a sandbox with a
// background process and is then killed.
const startedBy = "COMPUTE_ENGINE_TEST_START"

func startAndHang(dir string) {
	ctx := context.Background()
	b, err := Start(ctx, Spec{Dir: dir, StateDir: os.Getenv(startedBy + "_STATE")})
	if err == nil {
		_, err = b.StartProcess(ctx, Command{Argv: []string{"/bin/sh", "-c", "echo first; read x; echo $x; sleep 1000"}, KeepStdin: true})
	}
	fmt.Println("started", err)
	select {}
}

func TestReattach(t *testing.T) {
	newBox(t) // skips where there are no sandboxes, and makes the base
	dir := filepath.Join(t.TempDir(), "box")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), startedBy+"="+dir, startedBy+"_STATE="+sharedState(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 100)
	n, _ := out.Read(line)
	if got := string(line[:n]); got != "started <nil>\n" {
		t.Fatal(got)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	defer Destroy(context.Background(), dir)
	b, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := b.Processes(t.Context())
	if err != nil || len(list) != 1 || list[0].Done {
		t.Fatalf("%v %+v", err, list)
	}
	if err := b.WriteStdin(t.Context(), list[0].ID, strings.NewReader("second\n"), true); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	var buf bytes.Buffer
	if _, err := b.Output(t.Context(), list[0].ID, Stdout, 0, false, &buf, nil); err != nil || buf.String() != "first\nsecond\n" {
		t.Fatalf("%v %q", err, &buf)
	}
	if err := Destroy(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	if err := Destroy(t.Context(), dir); err != nil {
		t.Fatal("a second time: ", err)
	}
}

// TestNoResidue counts what there is before and after.
func TestNoResidue(t *testing.T) {
	newBox(t)
	parent := t.TempDir()
	time.Sleep(time.Second) // until no connection of other tests is spare any more
	before := residue(t)
	for i := range 5 {
		dir := filepath.Join(parent, fmt.Sprint("box", i))
		b, err := Start(t.Context(), Spec{Dir: dir, StateDir: sharedState(t)})
		if err != nil {
			t.Fatal(err)
		}
		sh(t, b, "mkdir -p a/b/c; chmod 000 a/b a; rm /usr/bin/env; setsid sleep 100 & echo x > /etc/hosts")
		if _, err := b.StartProcess(t.Context(), Command{Argv: []string{"sleep", "100"}}); err != nil {
			t.Fatal(err)
		}
		if err := Destroy(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	var after string
	for range 50 {
		if after = residue(t); after == before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("before:\n%s\nafter:\n%s", before, after)
}

// residue describes this process's children, descriptors and mounts.
func residue(t *testing.T) string {
	fds, _ := os.ReadDir("/proc/self/fd")
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		c, _ := os.ReadFile(task)
		children = append(children, c...)
	}
	ours := 0 // other tests mount things too
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, t.Name()) || strings.Contains(line, sharedState(t)) {
			ours++
		}
	}
	return fmt.Sprint(len(fds), " fds, ", ours, " mounts, ", len(strings.Fields(string(children))), " children")
}

func TestStartFailureLeavesNothing(t *testing.T) {
	newBox(t)
	parent := t.TempDir()
	time.Sleep(time.Second) // until no connection of other tests is spare any more
	before := residue(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	specs := map[string]struct {
		ctx  context.Context
		spec Spec
	}{
		"context": {ctx, Spec{}}, "layer": {t.Context(), Spec{Layers: []string{"/nowhere"}}}, "hostname": {t.Context(), Spec{Hostname: "a b"}},
	}
	for name, c := range specs {
		c.spec.Dir, c.spec.StateDir = filepath.Join(parent, "box"), sharedState(t)
		if _, err := Start(c.ctx, c.spec); err == nil {
			t.Errorf("%s: started", name)
		}
	}
	for d := time.Duration(0); d < 8*time.Millisecond; d += 500 * time.Microsecond {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		dir := filepath.Join(parent, "box")
		if _, err := Start(ctx, Spec{Dir: dir, StateDir: sharedState(t)}); err == nil {
			_ = Destroy(t.Context(), dir)
		}
		cancel()
	}
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if after := residue(t); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}

func TestDestroyRefusesForeignDirectories(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Destroy(t.Context(), dir); err == nil {
		t.Fatal("destroyed")
	}
	if _, err := os.Stat(filepath.Join(dir, "precious")); err != nil {
		t.Fatal(err)
	}
}

// A record whose number has become another process's must not lead to it.
func TestDestroySparesStrangers(t *testing.T) {
	b := newBox(t)
	sleep := exec.Command("sleep", "100")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	r, err := readRecord(b.Dir())
	if err != nil {
		t.Fatal(err)
	}
	data := fmt.Sprintf(`{"pid":%d,"start":%q,"boot":%q}`, sleep.Process.Pid, r.Start+"1", r.Boot)
	if err := os.WriteFile(filepath.Join(b.Dir(), recordName), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Destroy(t.Context(), b.Dir()); err != nil {
		t.Fatal(err)
	}
	if state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", sleep.Process.Pid)); !strings.Contains(string(state), ") S ") {
		t.Errorf("the stranger is hurt: %s", state)
	}
	for i := 0; i < 100 && !ended(r.PID); i++ {
		time.Sleep(10 * time.Millisecond)
	}
	if !ended(r.PID) {
		t.Error("init lives on") // it was told to end over its socket
	}
}

func TestLongPath(t *testing.T) {
	newBox(t)
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-", 30), strings.Repeat("deep", 20))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "box")
	b, err := Start(t.Context(), Spec{Dir: dir, StateDir: sharedState(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer Destroy(context.Background(), dir)
	if out, _ := sh(t, b, "echo ok"); out != "ok\n" {
		t.Fatal(out)
	}
}

func TestSnapshot(t *testing.T) {
	b := newBox(t)
	sh(t, b, `echo one > /workspace/f; rm /usr/bin/env; rm -r /etc/alternatives && mkdir /etc/alternatives && echo new > /etc/alternatives/only
mkdir -p d; ln f d/hard; ln -s ../f d/soft; mkfifo d/fifo; chmod 000 d; truncate -s 100M sparse; touch -d 2001-02-03 old; printf 'a\377b' > "$(printf 'n\377')"`)
	layer := filepath.Join(t.TempDir(), "layer")
	if err := b.Snapshot(t.Context(), layer); err != nil {
		t.Fatal(err)
	}
	defer RemoveLayer(layer)
	sh(t, b, "echo two > /workspace/f")
	for range 2 { // a layer serves many
		c := newBox(t, layer)
		out, _ := sh(t, c, `cat f; ls /usr/bin/env 2>&1 | grep -c 'No such'; ls /etc/alternatives; stat -c '%a' d; cat d/soft; stat -c %h f; test -p d/fifo && echo fifo; stat -c %s sparse; date -r old +%Y; cat "$(printf 'n\377')"; echo; echo x > f; mkdir -p /workspace/w; mv d e; ls -d e`)
		want := "one\n1\nonly\n0\none\n2\nfifo\n104857600\n2001\na\xffb\ne\n"
		if out != want {
			t.Errorf("got %q\nwant %q", out, want)
		}
		layer2 := filepath.Join(t.TempDir(), "layer2")
		if err := c.Snapshot(t.Context(), layer2); err != nil {
			t.Fatal(err)
		}
		d := newBox(t, layer, layer2)
		if out, _ := sh(t, d, "cat f; ls -d d e 2>/dev/null"); out != "x\ne\n" {
			t.Errorf("second layer: %q", out)
		}
		if err := RemoveLayer(layer2); err != nil {
			t.Error(err)
		}
	}
}

func TestFreeze(t *testing.T) {
	b := newBox(t)
	p, err := b.StartProcess(t.Context(), Command{Argv: []string{"/bin/sh", "-c", "while :; do echo x; sleep 0.005; done"}})
	if err != nil {
		t.Fatal(err)
	}
	count := func() int64 {
		info, err := b.Process(t.Context(), p.ID)
		if err != nil {
			t.Fatal(err)
		}
		return info.Stdout
	}
	time.Sleep(50 * time.Millisecond)
	err = b.WhileFrozen(t.Context(), func() error {
		time.Sleep(20 * time.Millisecond)
		first := count()
		time.Sleep(80 * time.Millisecond)
		if again := count(); again != first {
			t.Errorf("it goes on while frozen: %d, %d", first, again)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := b.Exec(ctx, Command{Argv: []string{"true"}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("exec while frozen: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first := count()
	time.Sleep(100 * time.Millisecond)
	if count() == first {
		t.Error("it does not go on")
	}
}

func TestManyAtOnce(t *testing.T) {
	newBox(t)
	parent := t.TempDir()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			dir := filepath.Join(parent, fmt.Sprint(i))
			b, err := Start(t.Context(), Spec{Dir: dir, StateDir: sharedState(t)})
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				var out bytes.Buffer
				if _, err := b.Exec(t.Context(), Command{Argv: []string{"echo", fmt.Sprint(i)}, Stdout: &out}); err != nil || out.String() != fmt.Sprint(i, "\n") {
					t.Errorf("%v %q", err, &out)
				}
			}
			if err := Destroy(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestProcesses(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	p, err := b.StartProcess(ctx, Command{Argv: []string{"/bin/sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.05; done; echo err >&2; exit 7"}})
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	n, err := b.Output(ctx, p.ID, Stdout, 2, true, &out, nil)
	if err != nil || out.String() != "2\n3\n" || n != 6 {
		t.Errorf("%v %q %d", err, &out, n)
	}
	if exit, err := b.WaitProcess(ctx, p.ID); err != nil || exit.Code != 7 {
		t.Errorf("%v %+v", err, exit)
	}
	if _, err := b.Output(ctx, p.ID, Stderr, 0, true, &errs, nil); err != nil || errs.String() != "err\n" {
		t.Errorf("%v %q", err, &errs)
	}
	big, err := b.StartProcess(ctx, Command{Argv: []string{"head", "-c", "30000000", "/dev/zero"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.WaitProcess(ctx, big.ID); err != nil {
		t.Fatal(err)
	}
	var kept counter
	var gap int64
	end, err := b.Output(ctx, big.ID, Stdout, 0, true, &kept, func(n int64) { gap += n })
	if err != nil || end != 30000000 || int64(kept)+gap != end || kept < 8<<20 || kept > 9<<20 {
		t.Errorf("%v end %d kept %d gap %d", err, end, kept, gap)
	}
	s, err := b.StartProcess(ctx, Command{Argv: []string{"/bin/sh", "-c", "setsid sleep 100 & sleep 100"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Kill(ctx, s.ID); err != nil {
		t.Error(err)
	}
	if out, _ := sh(t, b, "ps ax | grep 'slee[p] 100'"); out != "" {
		t.Error(out)
	}
	if err := b.Signal(ctx, s.ID, 15); !errors.Is(err, fs.ErrNotExist) && err == nil {
		t.Error("signalled the dead")
	}
	if _, err := b.Process(ctx, "nope"); !errors.Is(err, ErrNoProcess) {
		t.Error(err)
	}
}
