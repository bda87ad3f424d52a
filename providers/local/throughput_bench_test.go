//go:build linux

package local_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute"
)

// BenchmarkIdle makes as many sandboxes as there are rounds, and then reports
// the memory of their inits: the proportional set size, which counts what
// processes share in parts; and of all that this machine has used since, the
// kernel's own memory included, what is one sandbox's part. Run it with
// -benchtime 1000x.
func BenchmarkIdle(b *testing.B) {
	dir := b.TempDir()
	p, err := newBenchProviderAt(b, dir)
	if err != nil {
		b.Fatal(err)
	}
	var ids []string
	before := inUse(b)
	for b.Loop() {
		sb, err := p.CreateSandbox(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, sb.ID())
	}
	time.Sleep(2 * time.Second) // what an init puts off it has done
	b.ReportMetric(float64(inUse(b)-before)/float64(len(ids))/1024, "machine-MiB")
	var pss []int
	for _, id := range ids {
		pss = append(pss, proportional(b, initPID(b, dir, id)))
	}
	slices.Sort(pss)
	b.ReportMetric(float64(pss[len(pss)/2])/1024, "median-MiB")
	b.ReportMetric(float64(pss[len(pss)-1])/1024, "max-MiB")
	for _, id := range ids {
		if err := p.DestroySandbox(context.Background(), id); err != nil {
			b.Error(err)
		}
	}
}

// inUse is the memory in KiB that this machine's processes and its kernel have,
// without what is only kept of files.
func inUse(b *testing.B) (kib int) {
	b.Helper()
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		b.Fatal(err)
	}
	used := map[string]bool{"AnonPages:": true, "Shmem:": true, "KernelStack:": true, "PageTables:": true, "Slab:": true, "Percpu:": true}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && used[f[0]] {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				b.Fatal(err)
			}
			kib += n
		}
	}
	return kib
}

// initPID is what a sandbox's record says.
func initPID(b *testing.B, dir, id string) int {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "sandboxes", id, "run-*", "init"))
	if err != nil || len(files) != 1 {
		b.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		b.Fatal(err)
	}
	number, _, _ := bytes.Cut(bytes.TrimPrefix(data, []byte(`{"pid":`)), []byte(","))
	pid, err := strconv.Atoi(string(number))
	if err != nil {
		b.Fatalf("%s: %v", data, err)
	}
	return pid
}

// proportional is a process's proportional set size in KiB.
func proportional(b *testing.B, pid int) int {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Skip("this user may not look: ", err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("no size in %s", data)
	return 0
}

const gibibyte = 1 << 30

// BenchmarkFile copies 1 GiB in and out, in turn with a copy on this machine,
// each to where there is no file yet.
func BenchmarkFile(b *testing.B) {
	p, err := newBenchProviderAt(b, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	sb, err := p.CreateSandbox(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sb.Destroy(context.Background()) }()
	dir := b.TempDir()
	source := filepath.Join(dir, "source")
	if err := makeFile(source, gibibyte); err != nil {
		b.Fatal(err)
	}
	files := sb.Filesystem()
	var plain, in, out []float64
	// clear leaves no copy, nothing that the disk has not taken, for which the
	// kernel makes those wait who write, and as much memory free that is this
	// machine's already: a virtual one gets it when it is first used, which takes
	// longer than the copy.
	clear := func(inside bool) {
		fresh := filepath.Join(dir, "copy")
		unix.Sync()
		err := errors.Join(os.RemoveAll(fresh), copyFile(source, fresh), os.Remove(fresh))
		if inside {
			err = errors.Join(err, files.RemoveAll(b.Context(), "big"))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		clear(true)
		plain = append(plain, rate(b, func() error { return copyFile(source, filepath.Join(dir, "copy")) }))
		clear(true)
		in = append(in, rate(b, func() error {
			src, err := os.Open(source)
			if err != nil {
				return err
			}
			defer src.Close()
			dst, err := compute.CreateFile(b.Context(), files, "big", 0o600)
			if err != nil {
				return err
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 256<<10)); err != nil {
				return errors.Join(err, dst.Close())
			}
			return dst.Close()
		}))
		clear(false)
		out = append(out, rate(b, func() error {
			src, err := compute.OpenFile(b.Context(), files, "big")
			if err != nil {
				return err
			}
			defer src.Close()
			return copyTo(src, filepath.Join(dir, "copy"))
		}))
	}
	reportRates(b, plain, map[string][]float64{"in": in, "out": out})
}

func makeFile(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(f, blank{}, size)
	return err
}

type blank struct{}

func (blank) Read(p []byte) (int, error) { return len(p), nil }

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return copyTo(src, to)
}

// copyTo copies through this program's memory, as its own code would.
func copyTo(r io.Reader, to string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	return err
}

// rate is how many MB/s f moves of its gibibyte.
func rate(b *testing.B, f func() error) float64 {
	b.Helper()
	start := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return gibibyte / 1e6 / time.Since(start).Seconds()
}

func reportRates(b *testing.B, floor []float64, ours map[string][]float64) {
	slices.Sort(floor)
	base := floor[len(floor)/2]
	b.ReportMetric(base, "floor-MB/s")
	for name, all := range ours {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], name+"-MB/s")
		b.ReportMetric(all[len(all)/2]/base, name+"-ratio")
	}
	b.ReportMetric(0, "ns/op")
}

// pourer sends a gibibyte to whoever connects.
const pourer = `use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 0, Listen => 5) or die;
$| = 1; print $s->sockport, "\n"; my $b = "x" x (1 << 18);
while (my $c = $s->accept) { for (1 .. 4096) { syswrite($c, $b) // last } close $c }`

// BenchmarkPort reads from a server through the URL of its port, in turn with
// the same server on this machine's loopback.
func BenchmarkPort(b *testing.B) {
	p, err := newBenchProviderAt(b, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	sb, err := p.CreateSandbox(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sb.Destroy(context.Background()) }()
	r, w := io.Pipe()
	defer r.Close()
	cmd := compute.Exec("perl", "-e", pourer)
	cmd.Stdout = w
	if _, err := compute.Start(b.Context(), sb, cmd); err != nil {
		b.Fatal(err)
	}
	url, err := sb.GetURL(b.Context(), readPort(b, r))
	if err != nil {
		b.Fatal(err)
	}
	host := exec.CommandContext(b.Context(), "perl", "-e", pourer)
	out, err := host.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := host.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = host.Process.Kill(); _ = host.Wait() }()
	loopback := fmt.Sprintf("127.0.0.1:%d", readPort(b, out))
	var floor, ours []float64
	for b.Loop() {
		floor = append(floor, rate(b, func() error { return drink(loopback) }))
		ours = append(ours, rate(b, func() error { return drink(strings.TrimPrefix(url, "http://")) }))
	}
	reportRates(b, floor, map[string][]float64{"ours": ours})
}

func readPort(b *testing.B, r io.Reader) int {
	b.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		b.Fatal(err)
	}
	return port
}

func drink(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 256<<10))
	if err == nil && n != gibibyte {
		err = fmt.Errorf("%d bytes came", n)
	}
	return err
}
