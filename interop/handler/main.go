// Command handler puts the stub behind compute.NewHandler for clients that were
// written for ComputeSDK's handler: in its eras' words at /api/compute/D and
// /api/compute/E, and in this library's own at /api/compute. Who has the cookie
// of its pages is let in. It serves the pages of a directory, to which a browser
// posts what it has found out at /report.
//
// It prints its URL and that of the same on another port, whose pages are of
// another origin, and serves until it is interrupted.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

func main() {
	dir := flag.String("dir", "", "directory of pages")
	misbehave := flag.Bool("misbehave", false, "leave out of listings what is a directory")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *misbehave); err != nil {
		fmt.Fprintln(os.Stderr, "handler:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, misbehave bool) error {
	c := stub.New(stub.Config{Programs: map[string]stub.Program{"python3": python}})
	h := routes(c, dir)
	if misbehave {
		h = withoutDirectories(h)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	var urls []string
	done := make(chan error, 2)
	for range 2 {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		urls = append(urls, "http://"+l.Addr().String())
		go func() { done <- srv.Serve(l) }()
	}
	if err := json.NewEncoder(os.Stdout).Encode(urls); err != nil {
		return err
	}
	<-ctx.Done()
	err := srv.Close()
	for range 2 {
		if serr := <-done; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, serr)
		}
	}
	return errors.Join(err, compute.Close(c))
}

// python runs the one program that the checks have.
func python(_ context.Context, p *stub.Proc) int {
	fmt.Fprintln(p.Stdout, "ran", p.Args[len(p.Args)-1])
	return 3
}

const cookie = "session"

func authorize(r *http.Request, _ *compute.Request) error {
	if _, err := r.Cookie(cookie); err != nil {
		return compute.ErrUnauthorized
	}
	return nil
}

func routes(c compute.Compute, dir string) http.Handler {
	mux := http.NewServeMux()
	for _, era := range []compute.Compat{compute.CompatNone, compute.CompatD, compute.CompatE} {
		path := strings.TrimSuffix("/api/compute/"+string(era), "/")
		mux.Handle(path, compute.NewHandler(c, compute.HandlerOptions{Authorize: authorize, Compat: era, AutoCreate: era == compute.CompatD}))
	}
	pages := http.FileServer(http.Dir(dir))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: "somebody", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}) //nolint:gosec // on this machine, without TLS
		pages.ServeHTTP(w, r)
	})
	reports := make(chan []byte, 1)
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case reports <- data:
		default: // one is enough
		}
	})
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) {
		select {
		case data := <-reports:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(data)
		case <-r.Context().Done():
		}
	})
	return mux
}

// withoutDirectories breaks one promise, for a client to notice.
func withoutDirectories(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Accept") == "text/event-stream" {
			next.ServeHTTP(w, r)
			return
		}
		own := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(own, r)
		body := bytes.ReplaceAll(own.body.Bytes(), []byte(`"isDirectory":true,`), nil)
		w.Header().Del("Content-Length")
		w.WriteHeader(own.status)
		_, _ = w.Write(body)
	})
}

// recorder keeps an answer.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
