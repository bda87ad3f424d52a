package compute

import (
	"io/fs"
	"path"
	"time"
	"unicode/utf8"
)

// Response is the answer to a [Request].
//
// Code says of a failure what [errors.Is] would say of the error: "invalid",
// "unauthorized", "forbidden", "not_found", "conflict", "quota", "unsupported",
// "timeout", "canceled", "unavailable" and "truncated" are the sentinels of this
// package and their kin; "file_not_exist", "file_exist", "file_permission" and
// "file_invalid" those of package io/fs; "command_failed" is an [ExitError], of a
// build for instance, "limit" is [ErrLimit], and "connection_refused" and
// "network_unreachable" are of what was dialed; "internal" is anything else. HTTP
// adds "method_not_allowed" and "too_large". ErrorDetail has what else is known.
type Response struct {
	Success   bool   `json:"success"`
	Error     string `json:"error,omitempty"` // for people
	Code      string `json:"code,omitempty"`  // for programs
	Provider  string `json:"provider"`
	SandboxID string `json:"sandboxId"`

	ErrorDetail *ResponseError `json:"errorDetail,omitempty"`

	Result       *ResponseResult       `json:"result,omitempty"`
	Info         *ResponseSandbox      `json:"info,omitempty"`
	Sandboxes    []ResponseSandbox     `json:"sandboxes,omitzero"`
	URL          string                `json:"url,omitempty"`
	URLs         []PortURL             `json:"urls,omitzero"`
	Endpoint     *Endpoint             `json:"endpoint,omitempty"`
	SSH          *SSHAccess            `json:"ssh,omitempty"`
	Usage        *ResponseUsage        `json:"usage,omitempty"`
	Exists       *bool                 `json:"exists,omitempty"`
	File         *ResponseFile         `json:"file,omitempty"`
	Files        []ResponseFile        `json:"files,omitzero"`
	Process      *ResponseProcess      `json:"process,omitempty"`
	Processes    []ResponseProcess     `json:"processes,omitzero"`
	Terminal     *ResponseTerminal     `json:"terminal,omitempty"`
	Terminals    []ResponseTerminal    `json:"terminals,omitzero"`
	Template     *Template             `json:"template,omitempty"`
	Templates    []*Template           `json:"templates,omitzero"`
	Snapshot     *Snapshot             `json:"snapshot,omitempty"`
	Snapshots    []*Snapshot           `json:"snapshots,omitzero"`
	Volume       *Volume               `json:"volume,omitempty"`
	Volumes      []*Volume             `json:"volumes,omitzero"`
	Capabilities *ResponseCapabilities `json:"capabilities,omitempty"`
	Log          string                `json:"log,omitempty"` // of a template's build

	// FileContent is a file's content as text. If the file is not UTF-8,
	// FileContentBase64 is the content as it is.
	FileContent       *string `json:"fileContent,omitempty"`
	FileContentBase64 []byte  `json:"fileContentBase64,omitempty"`

	// Status is the HTTP status to send, and RetryAfter, if not zero, goes into
	// the header of that name. Err is what Error may not tell to strangers; it
	// belongs in the server's log.
	Status     int           `json:"-"`
	RetryAfter time.Duration `json:"-"`
	Err        error         `json:"-"`
}

// ResponseError is what a program needs to make an [Error] or an
// [*fs.PathError] of a failure again.
type ResponseError struct {
	Codes        []string `json:"codes,omitempty"` // all that errors.Is would say, if more than Response.Code
	Op           string   `json:"op,omitempty"`
	ID           string   `json:"id,omitempty"`
	RequestID    string   `json:"requestId,omitempty"` // of the provider
	RetryAfterMS int64    `json:"retryAfterMs,omitempty"`
	NothingDone  bool     `json:"nothingDone,omitempty"`
	FileOp       string   `json:"fileOp,omitempty"` // of an error about a file
	Path         string   `json:"path,omitempty"`
}

// ResponseResult is a [Result] in JSON. Output that is not UTF-8 is in the
// fields for base64 as it was.
type ResponseResult struct {
	*Result
	StdoutBase64  []byte `json:"stdoutBase64,omitempty"`
	StderrBase64  []byte `json:"stderrBase64,omitempty"`
	DurationMS    int64  `json:"durationMs"`
	ExecutionTime int64  `json:"executionTime"` // the same under its older name

	Output   string `json:"output,omitempty"`   // of runCode: all that was printed
	Language string `json:"language,omitempty"` // of runCode

	Background bool  `json:"isBackground,omitempty"`
	PID        int64 `json:"pid,omitempty"` // of a command in the background
}

func responseResult(res *Result) *ResponseResult {
	ms := res.Duration.Milliseconds()
	return &ResponseResult{Result: res, DurationMS: ms, ExecutionTime: ms,
		StdoutBase64: unlessText(res.Stdout), StderrBase64: unlessText(res.Stderr)}
}

// unlessText returns s if JSON's strings, which are Unicode, cannot hold it.
func unlessText(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}

// ResponseSandbox is a [SandboxInfo] in JSON.
type ResponseSandbox struct {
	*SandboxInfo
	SandboxID string `json:"sandboxId"`         // the ID, under the name that listings have
	Timeout   int64  `json:"timeout,omitempty"` // milliseconds from creation to expiry, if it expires
}

func responseSandbox(info *SandboxInfo) ResponseSandbox {
	s := ResponseSandbox{SandboxInfo: info, SandboxID: info.ID}
	if !info.Expires.IsZero() {
		s.Timeout = info.Expires.Sub(info.Created).Milliseconds()
	}
	return s
}

// ResponseFile is a file, or an entry of a directory, in JSON.
type ResponseFile struct {
	Name         string    `json:"name"`
	Path         string    `json:"path"`
	Size         int64     `json:"size"`
	IsDirectory  bool      `json:"isDirectory"`
	Type         string    `json:"type"` // "file", "directory", "symlink" or "other"
	Mode         Mode      `json:"mode"` // permissions
	LastModified time.Time `json:"lastModified"`
	Modified     time.Time `json:"modified"` // the same under its newer name
}

func responseFile(name string, info fs.FileInfo) ResponseFile {
	f := ResponseFile{Name: info.Name(), Path: path.Clean(name), Size: info.Size(), IsDirectory: info.IsDir(),
		Type: "other", Mode: Mode(info.Mode().Perm()), LastModified: info.ModTime(), Modified: info.ModTime()}
	switch info.Mode().Type() {
	case 0:
		f.Type = "file"
	case fs.ModeDir:
		f.Type = "directory"
	case fs.ModeSymlink:
		f.Type = "symlink"
	}
	return f
}

// ResponseProcess is a [ProcessInfo] in JSON.
type ResponseProcess struct {
	*ProcessInfo
	ProcessID string   `json:"processId"`
	PID       int64    `json:"pid"`
	Abilities []string `json:"abilities,omitempty"` // as [Abilities] says
}

// ResponseTerminal is a process on a terminal in JSON.
type ResponseTerminal struct {
	PID        int64  `json:"pid"`
	TerminalID string `json:"terminalId"` // the process's ID
	Command    string `json:"command"`
	Status     string `json:"status"` // "running" or "exited"
	ExitCode   *int   `json:"exitCode,omitempty"`
	Cols       int    `json:"cols"`
	Rows       int    `json:"rows"`
}

// ResponseUsage is a [Usage] in JSON.
type ResponseUsage struct {
	CPUMS       float64 `json:"cpuMs"`
	MemoryBytes int64   `json:"memoryBytes"`
	DiskBytes   int64   `json:"diskBytes"`
	Processes   int     `json:"processes"`
	UptimeMS    float64 `json:"uptimeMs"`
}

// ResponseCapabilities names the providers at the far end, and the optional
// interfaces that it has, as [Abilities] does.
type ResponseCapabilities struct {
	Providers  []string `json:"providers"` // as [ProviderNames] says
	Compute    []string `json:"compute"`
	Sandbox    []string `json:"sandbox,omitempty"`    // with a sandboxId
	Filesystem []string `json:"filesystem,omitempty"` // with a sandboxId
	Process    []string `json:"process,omitempty"`    // with a processId
}
