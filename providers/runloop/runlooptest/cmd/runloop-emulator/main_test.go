package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// beTheCommand is the variable that makes the test's program the command.
const beTheCommand = "RUNLOOP_EMULATOR_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(beTheCommand) != "" {
		os.Args = os.Args[:1]
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestServe(t *testing.T) {
	t.Setenv("RUNLOOP_API_KEY", "ak_mine")
	for _, args := range []string{"-provider stub", "-provider stub -tls", "-provider local -dir " + t.TempDir()} {
		t.Run(args, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			r, w := io.Pipe()
			served := make(chan error, 1)
			go func() {
				served <- run(ctx, strings.Fields(args), w)
				w.Close()
			}()
			env, transport := map[string]string{}, &http.Transport{}
			for lines := bufio.NewScanner(r); env["RUNLOOP_BASE_URL"] == "" && lines.Scan(); {
				for pair := range strings.FieldsSeq(strings.TrimPrefix(lines.Text(), "export ")) {
					name, value, _ := strings.Cut(pair, "=")
					env[name] = value
				}
			}
			if name := env["SSL_CERT_FILE"]; name != "" {
				cert, err := os.ReadFile(name)
				require.NoError(t, err)
				pool := x509.NewCertPool()
				require.True(t, pool.AppendCertsFromPEM(cert))
				transport.TLSClientConfig = &tls.Config{RootCAs: pool}
			}
			if env["RUNLOOP_BASE_URL"] == "" {
				t.Skip("the provider cannot be used here: ", <-served)
			}
			assert.Equal(t, "ak_mine", env["RUNLOOP_API_KEY"])
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, env["RUNLOOP_BASE_URL"]+"/v1/devboxes/create_and_await_running", nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer ak_mine")
			resp, err := (&http.Client{Transport: transport}).Do(req)
			require.NoError(t, err)
			data, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Contains(t, string(data), `"status":"running"`)
			transport.CloseIdleConnections()
			cancel()
			require.NoError(t, <-served)
			if name := env["SSL_CERT_FILE"]; name != "" {
				assert.NoFileExists(t, name)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	for args, message := range map[string]string{
		"-provider moon": "unknown provider", "-addr x:y -provider stub": "listen", "what": "unknown argument",
	} {
		assert.ErrorContains(t, run(t.Context(), strings.Fields(args), io.Discard), message)
	}
}
