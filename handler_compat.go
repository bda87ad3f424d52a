package compute

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// Compat is an era of ComputeSDK's handler whose statuses and error texts a
// handler uses. It changes no answer to a request that succeeds.
type Compat string

// Eras of ComputeSDK's handler.
const (
	CompatNone Compat = ""  // statuses that say what happened
	CompatD    Compat = "D" // August 2025, with terminals: 200 for everything that could be read
	CompatE    Compat = "E" // until December 2025: 500 for everything that failed
)

// compatible changes resp to what the era's clients know. What HTTP says, and
// who may do what, stays as it is: they had neither.
func (c Compat) compatible(x *exchange) {
	req, resp := x.req, x.resp
	if c == CompatNone || resp.Success {
		return
	}
	switch resp.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests,
		http.StatusServiceUnavailable:
		return
	}
	if req.Action == "" && resp.Status == http.StatusBadRequest { // the body could not be read
		return
	}
	switch {
	case c == CompatE:
		resp.Status = http.StatusInternalServerError
	case x.raw == nil:
		resp.Status, resp.Error = http.StatusOK, textD(req, resp.Error)
	case strings.HasSuffix(resp.Error, "Id is required for this action"):
		resp.Error = "sandboxId and terminalId are required for terminal streaming"
	default: // GET had statuses
		resp.Error = textD(req, resp.Error)
	}
}

// textD is the text of era D for one of era E's.
func textD(req *Request, text string) string {
	verb := req.Action[strings.LastIndexByte(req.Action, '.')+1:]
	var group string
	switch {
	case strings.HasPrefix(req.Action, "compute.sandbox.filesystem."):
		group = "filesystem operations"
	case strings.HasPrefix(req.Action, "compute.sandbox.terminal."):
		group = "terminal operations"
	default:
		group = verb + " action"
	}
	subject := map[string]string{"readFile": "File path", "writeFile": "File path", "mkdir": "Directory path", "readdir": "Directory path"}[verb]
	if subject == "" {
		subject = "Path"
	}
	switch text {
	case "sandboxId is required for this action", "sandboxId is required for destroy action":
		return "Sandbox ID is required for " + group
	case "terminalId is required for this action":
		return "Terminal ID is required for " + verb + " action"
	case "code is required":
		return "Code is required for runCode action"
	case "command is required":
		return "Command is required for runCommand action"
	case "path is required":
		return subject + " is required for " + verb + " action"
	case "content is required":
		return "File content is required for " + verb + " action"
	case "data is required":
		return "Data is required for " + verb + " action"
	case "cols and rows are required":
		return "Cols and rows are required for " + verb + " action"
	case "Sandbox " + req.SandboxID + " not found":
		return "Sandbox with ID " + req.SandboxID + " not found"
	}
	return text
}

// inOrderOfE checks what era E checked before the fields of the action: that a
// sandbox is named, and that it is there.
func (x *exchange) inOrderOfE(ctx context.Context) error {
	switch x.req.Action {
	case actionCreate, "compute.sandbox.list", "compute.sandbox.destroy":
		return nil
	}
	if !strings.HasPrefix(x.req.Action, actionPrefix) {
		return nil
	}
	if err := needSandboxID(x.req); err != nil {
		return err
	}
	if _, err := x.getSandbox(ctx, x.req.SandboxID); errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// autoCreate makes the sandbox that a request to run something does not name,
// as era D did.
func (x *exchange) autoCreate(ctx context.Context, act action) error {
	if x.opts == nil || !x.opts.AutoCreate || x.req.SandboxID != "" || x.req.Action != actionRun && x.req.Action != actionCode {
		return nil
	}
	for _, field := range act.needs[1:] { // all but the sandbox
		if err := field(x.req); err != nil {
			return err
		}
	}
	if err := createSandbox(ctx, x); err != nil {
		return err
	}
	x.req.SandboxID = x.resp.SandboxID
	return nil
}
