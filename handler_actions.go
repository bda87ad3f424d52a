package compute

import (
	"context"
	"math"
	"strings"
	"time"
)

// The actions that decisions are made by.
const (
	actionCreate = "compute.sandbox.create"
	actionRun    = "compute.sandbox.runCommand"
)

// action is one verb of the protocol: what it needs of the request, in the
// order in which it is missed, and what it does.
type action struct {
	needs []func(*Request) error
	do    func(context.Context, *exchange) error
}

var actions = map[string]action{
	actionCreate:                           {nil, createSandbox},
	"compute.sandbox.list":                 {nil, listSandboxes},
	"compute.sandbox.destroy":              {needs(needDestroyID), destroySandbox},
	"compute.sandbox.getInfo":              {needs(needSandboxID), onSandbox(sandboxInfo)},
	actionRun:                              {needs(needSandboxID, needCommand), onSandbox(runCommand)},
	"compute.sandbox.getUrl":               {needs(needSandboxID, needPort), onSandbox(sandboxURL)},
	"compute.sandbox.suspend":              {needs(needSandboxID), onSandbox(suspendSandbox)},
	"compute.sandbox.resume":               {needs(needSandboxID), onSandbox(resumeSandbox)},
	"compute.sandbox.extend":               {needs(needSandboxID, needTimeout), onSandbox(extendSandbox)},
	"compute.sandbox.filesystem.readFile":  {needs(needSandboxID, needPath), onSandbox(readFile)},
	"compute.sandbox.filesystem.writeFile": {needs(needSandboxID, needPath, needContent), onSandbox(writeFile)},
	"compute.sandbox.filesystem.mkdir":     {needs(needSandboxID, needPath), onSandbox(makeDir)},
	"compute.sandbox.filesystem.readdir":   {needs(needSandboxID, needPath), onSandbox(readDir)},
	"compute.sandbox.filesystem.exists":    {needs(needSandboxID, needPath), onSandbox(fileExists)},
	"compute.sandbox.filesystem.remove":    {needs(needSandboxID, needPath), onSandbox(removeFile)},
	"compute.template.create":              {needs(needName), createTemplate},
	"compute.template.get":                 {needs(needID), getTemplate},
	"compute.template.list":                {nil, listTemplates},
	"compute.template.delete":              {needs(needID), deleteTemplate},
	"compute.snapshot.create":              {needs(needSandboxID), createSnapshot},
	"compute.snapshot.get":                 {needs(needID), getSnapshot},
	"compute.snapshot.list":                {nil, listSnapshots},
	"compute.snapshot.delete":              {needs(needID), deleteSnapshot},
}

func needs(fields ...func(*Request) error) []func(*Request) error { return fields }

func need(present bool, words string) error {
	if !present {
		return badRequest("%s", words)
	}
	return nil
}

// The words of ComputeSDK's handler, for as far as it had any.
func needSandboxID(r *Request) error {
	return need(r.SandboxID != "", "sandboxId is required for this action")
}
func needDestroyID(r *Request) error {
	return need(r.SandboxID != "", "sandboxId is required for destroy action")
}
func needCommand(r *Request) error { return need(r.Command != "", "command is required") }
func needPath(r *Request) error    { return need(r.Path != "", "path is required") }
func needID(r *Request) error      { return need(r.ID != "", "id is required") }
func needName(r *Request) error    { return need(r.Options.Name != "", "options.name is required") }
func needTimeout(r *Request) error {
	return need(r.Options.Timeout != 0, "options.timeout is required")
}

func needContent(r *Request) error {
	if r.Content != nil && r.ContentBase64 != nil {
		return badRequest("content and contentBase64 cannot be combined")
	}
	return need(r.Content != nil || r.ContentBase64 != nil, "content is required")
}

func needPort(r *Request) error {
	if err := need(r.Port != 0, "port is required"); err != nil {
		return err
	}
	return need(r.Port > 0 && r.Port <= math.MaxUint16, "port must be between 1 and 65535")
}

// subject names what the request is about, as messages do; "" if nothing.
func (r *Request) subject() string {
	switch {
	case strings.HasPrefix(r.Action, "compute.template.") && r.ID != "":
		return "Template " + r.ID
	case strings.HasPrefix(r.Action, "compute.snapshot.") && r.ID != "":
		return "Snapshot " + r.ID
	case r.SandboxID != "":
		return "Sandbox " + r.SandboxID
	}
	return ""
}

// timeout is Options.Timeout, for which zero is none.
func (r *Request) timeout() (time.Duration, error) {
	ms := r.Options.Timeout
	if ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, badRequest("options.timeout is out of range")
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// onSandbox makes an action of a function on the sandbox that the request names.
func onSandbox(f func(context.Context, *exchange, Sandbox) error) func(context.Context, *exchange) error {
	return func(ctx context.Context, x *exchange) error {
		sb, err := x.c.GetSandbox(ctx, x.req.SandboxID)
		if err != nil {
			return err
		}
		x.resp.SandboxID = sb.ID()
		return f(ctx, x, sb)
	}
}
