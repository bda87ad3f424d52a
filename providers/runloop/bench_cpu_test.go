//go:build unix

package runloop_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// BenchmarkCPU is what operations cost the program that asks for them: the
// processor time of this process, of the provider and of package net/http with
// the same requests, while the emulator is another process. The metrics are
// microseconds of one operation, and how many times the floor's that is.
func BenchmarkCPU(b *testing.B) {
	sent := &lastBody{}
	client, plain := elsewhere(b, sent)
	p, err := runloop.New(runloop.Config{Client: client})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, p.Close()) })
	sb, err := p.CreateSandbox(b.Context(), nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, sb.Destroy(context.Background())) })
	kibibyte := strings.Repeat("0123456789abcde\n", 64)
	fsys := sb.Filesystem()
	for _, op := range []struct {
		name string
		run  func(ctx context.Context) error
		into any // what the answer is decoded into; nil is not decoded
	}{
		{"info", func(ctx context.Context) error { _, err := sb.Info(ctx); return err }, &runloopapi.DevboxView{}},
		{"command", func(ctx context.Context) error {
			_, err := sb.RunCommand(ctx, compute.Exec("echo", "hello"))
			return err
		}, &runloopapi.ExecutionView{}},
		{"write", func(ctx context.Context) error {
			return fsys.WriteFile(ctx, "/tmp/f", []byte(kibibyte), 0o644)
		}, &runloopapi.ExecutionView{}},
		{"read", func(ctx context.Context) error { _, err := fsys.ReadFile(ctx, "/tmp/f"); return err }, nil},
	} {
		b.Run(op.name, func(b *testing.B) {
			var ours, floor time.Duration
			n := 0
			for b.Loop() {
				const batch = 50 // of each in turn
				before := cpu(b)
				for range batch {
					require.NoError(b, op.run(b.Context()))
				}
				between := cpu(b)
				for range batch {
					require.NoError(b, plain.again(b, sent, op.into))
				}
				ours, floor, n = ours+between-before, floor+cpu(b)-between, n+batch
			}
			b.ReportMetric(float64(ours.Microseconds())/float64(n), "µs-provider")
			b.ReportMetric(float64(floor.Microseconds())/float64(n), "µs-net/http")
			b.ReportMetric(float64(ours)/float64(floor), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpu is the processor time that this process has had.
func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// again makes the last request as another one.
func (p *bare) again(b *testing.B, sent *lastBody, into any) error {
	var body io.Reader
	if sent.request.Method != http.MethodGet {
		body = strings.NewReader(string(sent.again(b)))
	}
	req, err := http.NewRequestWithContext(b.Context(), sent.request.Method, sent.request.URL.String(), body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil || resp.StatusCode != http.StatusOK {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// elsewhere starts an emulator in a process of its own, over sandboxes in memory.
func elsewhere(b *testing.B, transport http.RoundTripper) (*runloopapi.Client, *bare) {
	program := filepath.Join(b.TempDir(), "emulator")
	out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "./runlooptest/cmd/runloop-emulator").CombinedOutput()
	require.NoError(b, err, string(out))
	cmd := exec.Command(program, "-provider", "stub")
	stdout, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		require.NoError(b, cmd.Process.Signal(os.Interrupt))
		require.NoError(b, cmd.Wait())
	})
	lines := bufio.NewScanner(stdout)
	says := map[string]string{}
	for len(says) < 2 && lines.Scan() {
		k, v, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		says[k] = v
	}
	key, base := says["RUNLOOP_API_KEY"], says["RUNLOOP_BASE_URL"]
	client, err := runloopapi.New(runloopapi.WithAPIKey(key), runloopapi.WithBaseURL(base),
		runloopapi.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, client.Close()) })
	plain := &bare{client: &http.Client{Transport: &http.Transport{}}, base: base, key: key}
	b.Cleanup(plain.client.CloseIdleConnections)
	return client, plain
}
