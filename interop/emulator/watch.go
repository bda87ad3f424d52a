package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
)

const maxWatched = 8 << 20 // bytes of a body that are looked at

// watch holds every request that h accepts, and every answer of it, against the
// contract.
func (c *contract) watch(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") && !strings.HasPrefix(r.URL.Path, "/pty/") ||
			r.Header.Get("Upgrade") != "" || strings.Contains(r.Host, ".tunnel.") {
			h.ServeHTTP(w, r)
			return
		}
		var asked bytes.Buffer
		if r.Header.Get("Content-Type") == "application/json" {
			r.Body = tee{r.Body, &asked}
		}
		answer := &watched{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(answer, r)
		c.check(r, asked.Bytes(), answer)
	})
}

// check notes what is wrong with a request and its answer.
func (c *contract) check(r *http.Request, asked []byte, a *watched) {
	op, known := c.find(r.Method, r.URL.EscapedPath())
	if !known {
		if a.status < 400 {
			c.fault("%s %s is answered, and there is no such operation", r.Method, r.URL.Path)
		}
		return
	}
	c.mu.Lock()
	c.called[op.name]++
	c.mu.Unlock()
	if a.status >= 400 {
		var body struct{ Message string }
		if json.Unmarshal(a.body.Bytes(), &body) != nil || body.Message == "" {
			c.fault("%s: the error has no message: %s", op.name, shorten(a.body.Bytes()))
		}
		return
	}
	if err := op.checkQuery(r.URL.Query()); err != nil {
		c.fault("%s: %v", op.name, err)
	}
	if len(asked) < maxWatched {
		if err := op.checkBody(asked); err != nil {
			c.fault("%s: request: %v", op.name, err)
		}
	}
	mediaType, _, _ := mime.ParseMediaType(a.Header().Get("Content-Type"))
	if a.body.Len() < maxWatched || mediaType == "text/event-stream" {
		if err := op.checkAnswer(mediaType, a.body.Bytes()); err != nil {
			c.fault("%s: answer: %v", op.name, err)
		}
	}
}

func (c *contract) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[fmt.Sprintf(format, args...)]++
}

// report writes which operations nobody called, and fails if there were faults.
func (c *contract) report(w io.Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.operations()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if c.called[name] == 0 {
			fmt.Fprintln(w, "not called:", name)
		}
	}
	fmt.Fprintf(w, "%d of the %d operations of the OpenAPI document were called\n", len(c.called), len(all))
	if len(c.faults) == 0 {
		return nil
	}
	var b strings.Builder
	for _, text := range slices.Sorted(maps.Keys(c.faults)) {
		fmt.Fprintf(&b, "\n%4d times: %s", c.faults[text], text)
	}
	return fmt.Errorf("not as the OpenAPI document says:%s", b.String())
}

// tee keeps what is read of a body.
type tee struct {
	io.ReadCloser
	to *bytes.Buffer
}

func (t tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.to.Write(p[:min(n, max(0, maxWatched-t.to.Len()))])
	return n, err
}

// watched keeps what is answered.
type watched struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(p []byte) (int, error) {
	w.body.Write(p[:min(len(p), max(0, maxWatched-w.body.Len()))])
	return w.ResponseWriter.Write(p)
}
