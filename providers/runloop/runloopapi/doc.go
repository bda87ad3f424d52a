// Package runloopapi is a client of Runloop's REST API.
package runloopapi
