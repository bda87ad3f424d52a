package compute

import (
	"context"
	"math"
	"strings"
)

// The actions that decisions are made by.
const (
	actionPrefix = "compute.sandbox."
	actionCreate = "compute.sandbox.create"
	actionRun    = "compute.sandbox.runCommand"
	actionCode   = "compute.sandbox.runCode"
	actionCancel = "compute.cancel"
	actionStart  = "compute.sandbox.process.start"

	actionTemplate = "compute.template.create"

	actionOpenAPI = "compute.openapi"
)

// action is one verb of the protocol: what it needs of the request, in the
// order in which it is missed, and what it does: with the account, or on the
// sandbox that the request names.
type action struct {
	needs []func(*Request) error
	do    func(context.Context, *exchange) error
	on    func(context.Context, *exchange, Sandbox) error
}

// check reports what the request lacks.
func (a action) check(r *Request) error {
	for _, field := range a.needs {
		if err := field(r); err != nil {
			return err
		}
	}
	return nil
}

// act is an action with the account.
func act(do func(context.Context, *exchange) error, needs ...func(*Request) error) action {
	return action{needs: needs, do: do}
}

// on is an action on a sandbox.
func on(do func(context.Context, *exchange, Sandbox) error, needs ...func(*Request) error) action {
	return action{needs: append([]func(*Request) error{needSandboxID}, needs...), on: do}
}

var actions = map[string]action{
	"compute.capabilities": act(capabilities),
	"compute.undo":         act(undo, needUndoKey),
	actionCancel:           act(cancelRequest, needCancelKey),

	actionCreate:                     act(createSandbox),
	"compute.sandbox.list":           act(listSandboxes),
	"compute.sandbox.destroy":        act(destroySandbox, needDestroyID),
	"compute.sandbox.getInfo":        on(sandboxInfo),
	actionRun:                        on(runCommand, needCommand),
	actionCode:                       on(runCode, needCode),
	"compute.sandbox.getUrl":         on(sandboxURL, needPort),
	"compute.sandbox.suspend":        on(suspendSandbox),
	"compute.sandbox.resume":         on(resumeSandbox),
	"compute.sandbox.extend":         on(extendSandbox, needTimeout),
	"compute.sandbox.updateMetadata": on(updateMetadata),
	"compute.sandbox.wait":           on(waitForStatus, needStatus),
	"compute.sandbox.usage":          on(sandboxUsage),
	"compute.sandbox.events":         on(sandboxEvents),
	"compute.sandbox.rollback":       on(rollbackSandbox, needID),

	actionStart:                          on(startProcess, needCommand),
	"compute.sandbox.process.list":       on(listProcesses),
	"compute.sandbox.process.get":        on(onProcess(getProcess), needProcessID),
	"compute.sandbox.process.output":     on(onProcess(processOutput), needProcessID),
	"compute.sandbox.process.wait":       on(onProcess(waitProcess), needProcessID),
	"compute.sandbox.process.stdin":      on(onProcess(writeProcess), needProcessID),
	"compute.sandbox.process.closeStdin": on(onProcess(closeProcess), needProcessID),
	"compute.sandbox.process.signal":     on(onProcess(signalProcess), needProcessID, needSignal),
	"compute.sandbox.process.resize":     on(onProcess(resizeProcess), needProcessID, needSize),
	"compute.sandbox.process.kill":       on(onProcess(killProcess), needProcessID),

	"compute.sandbox.shell.open":  on(openShell, needShell),
	"compute.sandbox.shell.run":   on(runInShell, needShell, needCommand),
	"compute.sandbox.shell.close": on(closeShell, needShell),

	"compute.sandbox.terminal.create":  on(createTerminal),
	"compute.sandbox.terminal.list":    on(listTerminals),
	"compute.sandbox.terminal.getById": on(onTerminal(getTerminal), needTerminalID),
	"compute.sandbox.terminal.write":   on(onTerminal(writeProcess), needTerminalID, needData),
	"compute.sandbox.terminal.resize":  on(onTerminal(resizeProcess), needTerminalID, needSize),
	"compute.sandbox.terminal.kill":    on(onTerminal(killProcess), needTerminalID),
	"compute.sandbox.terminal.destroy": on(onTerminal(killProcess), needTerminalID),

	"compute.sandbox.filesystem.readFile":  on(readFile, needPath),
	"compute.sandbox.filesystem.writeFile": on(writeFile, needPath, needContent),
	"compute.sandbox.filesystem.mkdir":     on(makeDir, needPath),
	"compute.sandbox.filesystem.readdir":   on(readDir, needPath),
	"compute.sandbox.filesystem.exists":    on(fileExists, needPath),
	"compute.sandbox.filesystem.remove":    on(removeFile, needPath),
	"compute.sandbox.filesystem.stat":      on(statFile, needPath),
	"compute.sandbox.filesystem.rename":    on(renameFile, needPath, needNewPath),
	"compute.sandbox.filesystem.replace":   on(replaceInFile, needPath),
	"compute.sandbox.filesystem.watch":     on(watchFiles, needPath),

	"compute.sandbox.url.open":     on(openURL, needPort),
	"compute.sandbox.url.list":     on(listURLs),
	"compute.sandbox.url.close":    on(closeURL, needPort),
	"compute.sandbox.url.endpoint": on(getEndpoint, needPort),
	"compute.sandbox.network.set":  on(setNetwork),
	"compute.sandbox.ssh":          on(openSSH),

	actionTemplate:            act(createTemplate, needName),
	"compute.template.get":    act(getTemplate, needID),
	"compute.template.list":   act(listTemplates),
	"compute.template.delete": act(deleteTemplate, needID),
	"compute.template.logs":   act(templateLogs, needID),

	"compute.snapshot.create": act(createSnapshot, needSandboxID),
	"compute.snapshot.get":    act(getSnapshot, needID),
	"compute.snapshot.list":   act(listSnapshots),
	"compute.snapshot.delete": act(deleteSnapshot, needID),

	"compute.volume.create": act(createVolume),
	"compute.volume.get":    act(getVolume, needID),
	"compute.volume.list":   act(listVolumes),
	"compute.volume.delete": act(deleteVolume, needID),
}

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
func needCommand(r *Request) error {
	if r.Command != "" && len(r.Argv) > 0 {
		return badRequest("command and argv cannot be combined")
	}
	if r.Stdin != "" && r.StdinBase64 != nil {
		return badRequest("stdin and stdinBase64 cannot be combined")
	}
	return need(r.Command != "" || len(r.Argv) > 0, "command is required")
}
func needUndoKey(r *Request) error   { return need(r.UndoKey != "", "undoKey is required") }
func needCancelKey(r *Request) error { return need(r.CancelKey != "", "cancelKey is required") }
func needCode(r *Request) error      { return need(r.Code != "", "code is required") }
func needPath(r *Request) error      { return need(r.Path != "", "path is required") }
func needNewPath(r *Request) error   { return need(r.NewPath != "", "newPath is required") }
func needID(r *Request) error        { return need(r.ID != "", "id is required") }
func needName(r *Request) error      { return need(r.Options.Name != "", "options.name is required") }
func needProcessID(r *Request) error { return need(r.ProcessID != "", "processId is required") }
func needTerminalID(r *Request) error {
	return need(r.TerminalID != "", "terminalId is required for this action")
}
func needShell(r *Request) error  { return need(r.Shell != "", "shell is required") }
func needSignal(r *Request) error { return need(r.Signal > 0, "signal is required") }
func needStatus(r *Request) error { return need(len(r.Status) > 0, "status is required") }
func needData(r *Request) error   { return need(len(r.typed()) > 0, "data is required") }
func needSize(r *Request) error {
	return need(r.Cols > 0 && r.Rows > 0, "cols and rows are required")
}
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
	case strings.HasPrefix(r.Action, "compute.volume.") && r.ID != "":
		return "Volume " + r.ID
	case r.SandboxID != "":
		return "Sandbox " + r.SandboxID
	}
	return ""
}
