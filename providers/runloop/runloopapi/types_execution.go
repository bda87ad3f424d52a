package runloopapi

// ExecutionStatus is the state of an execution.
type ExecutionStatus string

// The states of an execution. Completed is final, whatever the exit status is.
const (
	ExecutionQueued    ExecutionStatus = "queued"
	ExecutionRunning   ExecutionStatus = "running"
	ExecutionCompleted ExecutionStatus = "completed"
)

// ExecuteParams are a command that the service waits for, for a while.
type ExecuteParams struct {
	Command string `json:"command"`
	// CommandID makes the call idempotent: a repeated ID is the same execution. It is a UUID of version 7.
	CommandID         string `json:"command_id"`
	ShellName         string `json:"shell_name,omitempty"`
	OptimisticTimeout *int32 `json:"optimistic_timeout,omitempty"` // seconds; nil and the maximum are 25
}

// ExecuteAsyncParams are a command that the service starts without waiting for its end.
type ExecuteAsyncParams struct {
	Command     string `json:"command"`
	ShellName   string `json:"shell_name,omitempty"`
	AttachStdin bool   `json:"attach_stdin,omitempty"`
}

// ExecutionView is an execution as the service describes it. Output and exit status are nil until it has completed.
type ExecutionView struct {
	DevboxID        string          `json:"devbox_id"`
	ExecutionID     string          `json:"execution_id"`
	Status          ExecutionStatus `json:"status"`
	ShellName       string          `json:"shell_name,omitempty"`
	ExitStatus      *int32          `json:"exit_status,omitempty"`
	Stdout          *string         `json:"stdout,omitempty"`
	Stderr          *string         `json:"stderr,omitempty"`
	StdoutTruncated bool            `json:"stdout_truncated,omitempty"` // Stdout holds the last lines only
	StderrTruncated bool            `json:"stderr_truncated,omitempty"`
}

// ExecutionResultView is the end of a command that was run in one call.
type ExecutionResultView struct {
	DevboxID   string `json:"devbox_id"`
	Stdout     string `json:"stdout"`
	Stderr     string `json:"stderr"`
	ExitStatus int32  `json:"exit_status"`
	ShellName  string `json:"shell_name,omitempty"`
}

// ExecutionWaitParams name the states that an execution is waited for.
type ExecutionWaitParams struct {
	Statuses       []ExecutionStatus `json:"statuses"`
	TimeoutSeconds int32             `json:"timeout_seconds,omitempty"` // 0: as long as the service holds a request, 25 seconds
}

// KillParams say what of an execution ends.
type KillParams struct {
	KillProcessGroup bool `json:"kill_process_group,omitempty"`
}

// StdinSignal is something other than text that an execution's standard input takes.
type StdinSignal string

// The signals: the end of the input, and an interrupt of the command.
const (
	StdinEOF       StdinSignal = "EOF"
	StdinInterrupt StdinSignal = "INTERRUPT"
)

// SendStdinParams are one write to an execution's standard input.
type SendStdinParams struct {
	Text   *string     `json:"text,omitempty"`
	Signal StdinSignal `json:"signal,omitempty"`
}

// SendStdinView is the answer to a write to an execution's standard input.
type SendStdinView struct {
	DevboxID    string `json:"devbox_id"`
	ExecutionID string `json:"execution_id"`
	Success     bool   `json:"success"`
}

// OutputChunk is one piece of an execution's output.
type OutputChunk struct {
	Output string `json:"output"`
	Offset int64  `json:"offset,omitempty"` // the byte position after the piece
}

// ReadFileParams name a text file in a devbox.
type ReadFileParams struct {
	Path string `json:"file_path"`
}

// WriteFileParams are a text file to be written in a devbox.
type WriteFileParams struct {
	Path     string `json:"file_path"`
	Contents string `json:"contents"`
}

// DownloadFileParams name a file in a devbox.
type DownloadFileParams struct {
	Path string `json:"path"`
}
