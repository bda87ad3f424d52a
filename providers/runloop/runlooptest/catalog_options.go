package runlooptest

import (
	"database/sql"
	"strings"
	"time"
)

// catalogOptions are the options of what is in the catalog.
type catalogOptions struct {
	insideURL  string
	streamIdle time.Duration
	openSQL    func() (*sql.DB, error)
}

// WithInsideURL says where devboxes reach the emulator, for gateways and MCP
// servers: by default the base URL, which a devbox with a network of its own may
// take for itself if it is on a loopback address. Network policies that allow
// gateways, MCP servers or other devboxes allow its host and port.
func WithInsideURL(u string) Option {
	return func(o *options) { o.insideURL = strings.TrimSuffix(u, "/") }
}

// WithStreamIdle sets how long a stream of an axon's events stays open when there
// are none; the default is a minute. Clients then subscribe again.
func WithStreamIdle(d time.Duration) Option { return func(o *options) { o.streamIdle = d } }

// WithSQL says how the SQL store of an axon is opened: an empty SQLite database,
// another one at each call. The emulator closes it. By default it is one in
// memory, if the program links a driver that is named sqlite; otherwise SQL is
// answered with status 501.
func WithSQL(open func() (*sql.DB, error)) Option { return func(o *options) { o.openSQL = open } }
