// Gin mounts the handler in a router of gin.
//
//	cd examples/gin && go run .
//
// It prints a request to try. COMPUTE_URL says who provides the sandboxes, by
// default "stub://", which runs nothing outside this program's memory. ADDR is
// where to listen.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

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
	c, err := compute.Open(ctx, cmp.Or(os.Getenv("COMPUTE_URL"), "stub://"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compute.Close(c)) }()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"))
	if err != nil {
		return err
	}
	token := rand.Text()
	fmt.Printf("curl -H 'Authorization: Bearer %s' -d '{\"action\":\"compute.sandbox.create\"}' http://%s/api/compute\n", token, ln.Addr())
	srv := &http.Server{
		Handler:           routes(c, map[string]string{token: "me"}),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // commands end with it
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

func routes(c compute.Compute, tokens map[string]string) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery())
	r.Any("/api/compute", gin.WrapH(compute.NewHandler(c, options(byToken(tokens)))))
	return r
}
