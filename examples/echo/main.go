// Echo mounts the handler in a router of echo, for pages of the same origin:
// users sign in and have a session, whose cookie other sites' pages cannot use.
//
//	cd examples/echo && go run .
//
// It prints requests to try. COMPUTE_URL says who provides the sandboxes, by
// default "stub://", which runs nothing outside this program's memory. ADDR is
// where to listen.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

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
	password := rand.Text()
	fmt.Printf("curl -c jar -d 'user=me&password=%s' http://%s/login\n", password, ln.Addr())
	fmt.Printf("curl -b jar -d '{\"action\":\"compute.sandbox.create\"}' http://%s/api/compute\n", ln.Addr())
	srv := &http.Server{
		Handler:           routes(c, map[string]string{"me": password}, false),
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

// routes serves a page's needs: signing in and out, and the handler, for whoever
// has a session. What comes from other origins is refused before anything
// looks at the cookie.
func routes(c compute.Compute, users map[string]string, secure bool) http.Handler {
	s := newSessions(users, secure)
	e := echo.New()
	e.Use(middleware.Recover(), echo.WrapMiddleware(http.NewCrossOriginProtection().Handler))
	e.POST("/login", echo.WrapHandler(http.HandlerFunc(s.login)))
	e.POST("/logout", echo.WrapHandler(http.HandlerFunc(s.logout)))
	e.Any("/api/compute", echo.WrapHandler(compute.NewHandler(c, options(s.user))))
	return e
}
