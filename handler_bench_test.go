package compute_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// bare is a handler that decodes and encodes the same JSON and does nothing
// else.
func bare(w http.ResponseWriter, r *http.Request) {
	var req compute.Request
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	res, _ := echo(r.Context(), compute.Exec(req.Command, req.Args...))
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(&compute.Response{Success: true, Provider: "fake", SandboxID: req.SandboxID,
		Result: &compute.ResponseResult{Result: res}})
	if err != nil {
		panic(err)
	}
}

// BenchmarkHandlerLoopback compares runCommand on a provider that does nothing
// with the bare handler, over connections that stay: some requests to either, in
// turns, so that a busy machine is busy for both. The metric "%relative" is the
// share of the bare handler's requests per second.
func BenchmarkHandlerLoopback(b *testing.B) {
	for _, clients := range []int{1, 8} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { loopback(b, clients) })
	}
}

func loopback(b *testing.B, clients int) {
	const body = `{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"echo","args":["hello"]}`
	const each = 25
	servers := []*httptest.Server{httptest.NewServer(open(newHandlerFake())), httptest.NewServer(http.HandlerFunc(bare))}
	for _, srv := range servers {
		srv.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = clients
	}
	var took [2]time.Duration
	for b.Loop() {
		for i, srv := range servers {
			begun := time.Now()
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					for range each {
						resp, err := srv.Client().Post(srv.URL, "application/json", strings.NewReader(body))
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				})
			}
			all.Wait()
			took[i] += time.Since(begun)
		}
	}
	for i, srv := range servers {
		requests := float64(b.N * clients * each)
		b.ReportMetric(requests/took[i].Seconds(), []string{"compute-req/s", "bare-req/s"}[i])
		srv.Close()
	}
	b.ReportMetric(100*took[1].Seconds()/took[0].Seconds(), "%relative")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkHandlerEvents passes a command's output as server-sent events.
func BenchmarkHandlerEvents(b *testing.B) {
	chunk := bytes.Repeat([]byte("a line of what commands print, with \"quotes\"\n"), 800)[:32<<10]
	const chunks = 1000
	f := newHandlerFake()
	f.run = func(_ context.Context, cmd *compute.Command) (*compute.Result, error) {
		for range chunks {
			if _, err := cmd.Stdout.Write(chunk); err != nil {
				return nil, err
			}
		}
		return &compute.Result{}, nil
	}
	srv := httptest.NewServer(open(f))
	defer srv.Close()
	b.SetBytes(int64(chunks * len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		req, _ := http.NewRequest(http.MethodPost, srv.URL, strings.NewReader(`{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`))
		req.Header.Set("Accept", "text/event-stream")
		resp, err := srv.Client().Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapSys)/(1<<20), "heap-MiB")
}

// openStreams opens n streams of commands that have printed a line and wait.
func openStreams(tb testing.TB, n int) (close func()) {
	ctx, cancel := context.WithCancel(tb.Context())
	f := newHandlerFake()
	f.run = func(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
		_, _ = io.WriteString(cmd.Stdout, "hello\n")
		<-ctx.Done()
		return nil, ctx.Err()
	}
	srv := httptest.NewServer(open(f))
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader(`{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`))
		require.NoError(tb, err)
		req.Header.Set("Accept", "text/event-stream")
		resp, err := srv.Client().Do(req) //nolint:bodyclose // cancel does
		require.NoError(tb, err)
		line, err := bufio.NewReaderSize(resp.Body, 64).ReadString('\n')
		require.NoError(tb, err)
		require.Equal(tb, "event: stdout\n", line)
	}
	return func() {
		cancel()
		srv.CloseClientConnections()
		srv.Close()
	}
}

// BenchmarkHandlerStreams holds 1,000 streams open at once. The memory of each
// includes the client's side, which is in the same program.
func BenchmarkHandlerStreams(b *testing.B) {
	const n = 1000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		closeAll := openStreams(b, n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/n/1024, "KiB/stream")
		closeAll()
	}
}
