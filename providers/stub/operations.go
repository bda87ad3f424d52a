package stub

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"

	"github.com/computekit/compute"
)

// operations are what a [Fault] can be about: those of [compute.Op].
var operations = []string{
	"create sandbox", "get sandbox", "list sandboxes", "destroy sandbox",
	"create template", "get template", "list templates", "delete template", "template log",
	"create snapshot", "get snapshot", "list snapshots", "delete snapshot",
	"create volume", "get volume", "list volumes", "delete volume",
	"info", "run command", "suspend", "resume", "extend", "wait for status", "update metadata", "events", "get usage", "rollback",
	"start command", "get process", "list processes", "open shell", "close shell",
	"get url", "get endpoint", "open url", "list urls", "close url", "dial", "ssh", "set network policy",
	"read file", "write file", "read dir", "stat", "make dir", "remove", "rename",
	"open file", "create file", "read archive", "write archive", "watch files",
	"process info", "wait", "attach", "kill", "send signal", "open stdin", "resize",
}

// mustKnow panics for an operation that there is not: a fault of it would never
// happen, and a test with it would be about nothing.
func mustKnow(op string) {
	if op != "" && !slices.Contains(operations, op) {
		panic("stub: Inject of a fault in " + strconv.Quote(op) + ", which is no operation; compute.Op has their names")
	}
}

// typed makes an error of the provider's of one that is just a kind, or a
// cause, as no provider returns it. What files say, they complete themselves.
func (p *Provider) typed(op, id string, err error) error {
	if err == nil {
		return nil
	}
	if _, whole := errors.AsType[*compute.Error](err); whole {
		return err
	}
	for _, about := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid} {
		if errors.Is(err, about) {
			return err
		}
	}
	own := &compute.Error{Op: op, Provider: p.Name(), ID: id, Err: err}
	for _, kind := range []error{compute.ErrInvalid, compute.ErrUnauthorized, compute.ErrForbidden, compute.ErrNotFound,
		compute.ErrConflict, compute.ErrQuota, compute.ErrUnavailable, compute.ErrTruncated, errors.ErrUnsupported} {
		if err == kind { //nolint:errorlint // the bare kind, of which nothing else gets lost
			own.Kind, own.Err = kind, nil
		}
	}
	return own
}
