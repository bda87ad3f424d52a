package runlooptest

import (
	"log/slog"
	"time"

	"github.com/computekit/compute"
)

// Option configures an [Emulator].
type Option func(*options)

type options struct {
	backend  compute.Compute
	logger   *slog.Logger
	apiKey   string
	baseURL  string
	home     string
	codeHost string
	network  *compute.NetworkPolicy
	build    func(Build) compute.ProviderOptions
	latency  time.Duration
	tls      bool

	catalogOptions
}

// WithBackend gives the provider whose sandboxes are the devboxes. It is
// required. What the backend cannot do the emulator answers with status 501.
func WithBackend(c compute.Compute) Option { return func(o *options) { o.backend = c } }

// WithAPIKey sets the key that requests must bear; the default is a random one,
// see [Emulator.APIKey].
func WithAPIKey(key string) Option { return func(o *options) { o.apiKey = key } }

// WithBaseURL says where clients reach the emulator, when that is not where it
// listens.
func WithBaseURL(u string) Option { return func(o *options) { o.baseURL = u } }

// WithHome sets the home directory of devboxes, in which commands start and
// where relative names of files begin. The default is /home/user.
func WithHome(dir string) Option { return func(o *options) { o.home = dir } }

// WithNetwork sets the network policy of devboxes that do not name one; the
// default is the backend's. With [WithBuild] it is that of builds, too.
func WithNetwork(p *compute.NetworkPolicy) Option { return func(o *options) { o.network = p } }

// WithCodeHost sets where code mounts are cloned from: the URL to which
// /owner/name.git is added. The default is https://github.com.
func WithCodeHost(u string) Option { return func(o *options) { o.codeHost = u } }

// WithLatency delays every answer of the API.
func WithLatency(d time.Duration) Option { return func(o *options) { o.latency = d } }

// WithLogger logs every request at level debug and failures inside the emulator
// at level error. The default discards.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithTLS makes [NewServer] and [Emulator.Serve] speak TLS, with a certificate
// made for the purpose, and HTTP/2 to clients that offer it.
func WithTLS() Option { return func(o *options) { o.tls = true } }
