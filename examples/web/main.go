// Web puts a provider on the web. Everyone with a token has sandboxes of their
// own, which live for ten minutes, and does not see those of others.
//
//	go run ./examples/web
//
// It prints a request to try. COMPUTE_URL says who provides the sandboxes, by
// default "stub://", which runs nothing outside this program's memory; it must
// be a provider that can end a sandbox in time. ADDR is where to listen. TOKENS
// is who may call, as in "ann:token1,bob:token2"; without it there is one user,
// with a token that changes on every start.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/computekit/compute"

	_ "github.com/computekit/compute/providers/local"
	_ "github.com/computekit/compute/providers/stub"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) (err error) {
	users, err := parseTokens(os.Getenv("TOKENS"))
	if err != nil {
		return err
	}
	c, err := compute.Open(ctx, cmp.Or(os.Getenv("COMPUTE_URL"), "stub://"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compute.Close(c)) }()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"))
	if err != nil {
		return err
	}
	if len(users) == 0 {
		token := rand.Text()
		users[token] = "me"
		fmt.Printf("curl -H 'Authorization: Bearer %s' -d '{\"action\":\"compute.sandbox.create\"}' http://%s/api/compute\n", token, ln.Addr())
	}
	return serve(ctx, ln, routes(c, users))
}

// parseTokens returns the users by their tokens.
func parseTokens(s string) (map[string]string, error) {
	users := map[string]string{}
	for entry := range strings.SplitSeq(s, ",") {
		user, token, ok := strings.Cut(entry, ":")
		switch {
		case entry == "":
		case !ok || user == "" || len(token) < 16:
			return nil, errors.New("TOKENS must be user:token,... with tokens of at least 16 characters")
		default:
			users[token] = user
		}
	}
	return users, nil
}

// serve serves until ctx ends. Commands that run then are killed, since their
// requests are under ctx too.
func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		done <- srv.Shutdown(grace)
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

// byToken finds users by the hashes of their tokens, so that looking one up
// tells nothing of the others.
func byToken(tokens map[string]string) func(*http.Request) string {
	users := map[[sha256.Size]byte]string{}
	for token, user := range tokens {
		users[sha256.Sum256([]byte(token))] = user
	}
	return func(r *http.Request) string {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		return users[sha256.Sum256([]byte(token))]
	}
}

func routes(c compute.Compute, users map[string]string) http.Handler {
	opts := options(byToken(users))
	opts.Logger = slog.Default()
	mux := http.NewServeMux()
	mux.Handle("/api/compute", compute.NewHandler(c, opts))
	return mux
}
