package runloop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
)

// bare makes the requests of the provider with package net/http alone.
type bare struct {
	client    *http.Client
	base, key string
}

func (b *bare) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// BenchmarkInfo is one small request: by the provider, and bare.
func BenchmarkInfo(b *testing.B) {
	e := newEmulated(b, stub.New(stub.Config{}), false, runloop.Config{})
	sb := computetest.NewSandbox(b, e.Provider, nil)
	b.Run("provider", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := sb.Info(b.Context())
			require.NoError(b, err)
		}
	})
	b.Run("net-http", func(b *testing.B) {
		plain := &bare{client: &http.Client{Transport: &http.Transport{}}, base: e.emulator.URL, key: e.emulator.APIKey()}
		defer plain.client.CloseIdleConnections()
		b.ReportAllocs()
		for b.Loop() {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, plain.base+"/v1/devboxes/"+sb.ID(), nil)
			require.NoError(b, err)
			req.Header.Set("Authorization", "Bearer "+plain.key)
			resp, err := plain.client.Do(req)
			require.NoError(b, err)
			var v runloopapi.DevboxView
			require.NoError(b, json.NewDecoder(resp.Body).Decode(&v))
			require.NoError(b, resp.Body.Close())
		}
	})
}

// BenchmarkCommand is one program whose output is text: by the provider, whose
// script makes every byte of it arrive; by package net/http with the same request;
// and by net/http with the program alone, which is what a client costs that knows
// neither what was lost nor what is left. They take turns, as what else the machine
// does changes more than what is measured. The metrics are the time of each and how
// many times that of both others the provider's is.
func BenchmarkCommand(b *testing.B) {
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run("latency="+latency.String(), func(b *testing.B) {
			sent := &lastBody{}
			e := newEmulated(b, newLocal(b, b.TempDir()), false, runloop.Config{}, runloopapi.WithHTTPClient(&http.Client{Transport: sent}))
			sb := computetest.NewSandbox(b, e.Provider, nil)
			e.emulator.Inject(runlooptest.Fault{Latency: latency, Times: -1})
			plain := &bare{client: &http.Client{Transport: &http.Transport{}}, base: e.emulator.URL, key: e.emulator.APIKey()}
			defer plain.client.CloseIdleConnections()
			times := turns{names: []string{"provider", "same-request", "program-alone"}}
			for b.Loop() {
				times.take(b, func() error {
					_, err := compute.Output(b.Context(), sb, compute.Exec("echo", "hello"))
					return err
				}, func() error {
					return plain.post(b.Context(), "/v1/devboxes/"+sb.ID()+"/execute", sent.again(b), &runloopapi.ExecutionView{})
				}, func() error { return plain.execute(b.Context(), sb.ID()) })
			}
			times.report(b)
		})
	}
}

// lastBody keeps the last request and its body, of those whose path ends with only.
type lastBody struct {
	http.Transport
	only    string
	mu      sync.Mutex
	request *http.Request
	body    []byte
}

func (l *lastBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, l.only) {
		if err := l.keep(r); err != nil {
			return nil, err
		}
	}
	return l.Transport.RoundTrip(r)
}

func (l *lastBody) keep(r *http.Request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.request = r
	if r.Body == nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	l.body, r.Body = body, io.NopCloser(bytes.NewReader(body))
	return err
}

// again is the same command as another one.
func (l *lastBody) again(b *testing.B) json.RawMessage {
	var sent struct {
		ID string `json:"command_id"`
	}
	require.NoError(b, json.Unmarshal(l.body, &sent))
	if sent.ID == "" {
		return l.body
	}
	const random = 12 // digits at the end
	other := sent.ID[:len(sent.ID)-random] + fmt.Sprintf("%012x", rand.Int64N(1<<48))
	return bytes.ReplaceAll(l.body, []byte(sent.ID), []byte(other))
}

// execute runs a program.
func (b *bare) execute(ctx context.Context, id string) error {
	return b.post(ctx, "/v1/devboxes/"+id+"/execute", map[string]string{"command": "exec /bin/echo hello"}, &runloopapi.ExecutionView{})
}

// turns are the times of those who take turns, the first of whom is measured.
type turns struct {
	names []string
	times [][]time.Duration
}

func (u *turns) take(b *testing.B, each ...func() error) {
	u.times = append(u.times, make([][]time.Duration, len(each)-len(u.times))...)
	for i, f := range each {
		began := time.Now()
		require.NoError(b, f())
		u.times[i] = append(u.times[i], time.Since(began))
	}
}

// report reports the medians.
func (u *turns) report(b *testing.B) {
	var ours time.Duration
	for i, name := range u.names {
		slices.Sort(u.times[i])
		median := u.times[i][len(u.times[i])/2]
		b.ReportMetric(float64(median.Microseconds()), "µs-"+name)
		if i == 0 {
			ours = median
			continue
		}
		b.ReportMetric(float64(ours)/float64(median), "of-"+name)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFifty is fifty at once of create, run, destroy: by the provider and, in
// turns, bare, with the same requests and with the program alone.
func BenchmarkFifty(b *testing.B) {
	sent := &lastBody{only: "/execute"}
	e := newEmulated(b, newLocal(b, b.TempDir()), false, runloop.Config{}, runloopapi.WithHTTPClient(&http.Client{Transport: sent}))
	plain := &bare{client: &http.Client{Transport: &http.Transport{}}, base: e.emulator.URL, key: e.emulator.APIKey()}
	defer plain.client.CloseIdleConnections()
	times := turns{names: []string{"provider", "same-requests", "program-alone"}}
	bare := func(execute func(id string) error) func() error {
		return fifty(func() error {
			var v runloopapi.DevboxView
			if err := plain.post(b.Context(), "/v1/devboxes/create_and_await_running", struct{}{}, &v); err != nil {
				return err
			}
			return errors.Join(execute(v.ID), plain.post(b.Context(), "/v1/devboxes/"+v.ID+"/shutdown", struct{}{}, nil))
		})
	}
	for b.Loop() {
		times.take(b, fifty(func() error {
			return compute.WithSandbox(b.Context(), e.Provider, nil, func(ctx context.Context, sb compute.Sandbox) error {
				_, err := compute.Output(ctx, sb, compute.Exec("echo", "hello"))
				return err
			})
		}), bare(func(id string) error {
			return plain.post(b.Context(), "/v1/devboxes/"+id+"/execute", sent.again(b), &runloopapi.ExecutionView{})
		}), bare(func(id string) error { return plain.execute(b.Context(), id) }))
	}
	times.report(b)
}

// fifty does f fifty times at once.
func fifty(f func() error) func() error {
	return func() error {
		var wg sync.WaitGroup
		errs := make([]error, 50)
		for i := range errs {
			wg.Go(func() { errs[i] = f() })
		}
		wg.Wait()
		return errors.Join(errs...)
	}
}
