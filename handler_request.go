package compute

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"
)

// Request is one call to a [Compute] in JSON. Which fields matter depends on
// Action; the names are those of ComputeSDK's handleComputeRequest where it had
// them. Fields that are not known are ignored, because its clients send some.
type Request struct {
	Action    string `json:"action"` // such as "compute.sandbox.runCommand"
	SandboxID string `json:"sandboxId,omitempty"`
	ID        string `json:"id,omitempty"` // of a template, snapshot or volume

	// UndoKey is a random text that names what the request creates or starts,
	// for compute.undo from a client that did not get the answer.
	UndoKey string `json:"undoKey,omitempty"`

	// CancelKey is a random text that names the request as long as it is under
	// way. compute.cancel with it ends what is done for the request, as going
	// away does, and the answer still comes: that of a command has its output so
	// far. It succeeds when that has ended; 404 is that no request has the key.
	CancelKey string `json:"cancelKey,omitempty"`

	// Command is a script for the shell; with Args, a program and its
	// arguments. Argv is a program with its arguments in one list, which may
	// have no arguments.
	Command string            `json:"command,omitempty"`
	Args    []string          `json:"args,omitempty"`
	Argv    []string          `json:"argv,omitempty"`
	Cwd     string            `json:"cwd,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	User    string            `json:"user,omitempty"`
	TTY     *TTY              `json:"tty,omitempty"`

	// Stdin is the whole input of a command; StdinBase64 is for what is not
	// UTF-8. OpenStdin leaves the input of a background process open.
	Stdin       string `json:"stdin,omitempty"`
	StdinBase64 []byte `json:"stdinBase64,omitempty"`
	OpenStdin   bool   `json:"openStdin,omitempty"`
	Close       bool   `json:"close,omitempty"` // of process.stdin: end the input behind the data

	Code    string `json:"code,omitempty"`    // of runCode
	Runtime string `json:"runtime,omitempty"` // of runCode: "python", which is the default, or "node"

	ProcessID  string  `json:"processId,omitempty"`
	TerminalID string  `json:"terminalId,omitempty"` // a process ID, or a terminal's pid in decimal
	Shell      string  `json:"shell,omitempty"`      // name of a shell session
	Signal     Signal  `json:"signal,omitempty"`
	Cols       int     `json:"cols,omitempty"`
	Rows       int     `json:"rows,omitempty"`
	Offsets    Offsets `json:"offsets,omitzero"` // where process.output and logs go on

	Path    string `json:"path,omitempty"`
	NewPath string `json:"newPath,omitempty"` // of rename
	Old     string `json:"old,omitempty"`     // of replace
	New     string `json:"new,omitempty"`     // of replace
	Mode    *Mode  `json:"mode,omitempty"`    // of what is created; nil is 0644 for files and 0755 for directories

	// Content is what to write to a file; ContentBase64 is for what is not
	// UTF-8. One of them must be there, if only as "".
	Content       *string `json:"content,omitempty"`
	ContentBase64 []byte  `json:"contentBase64,omitempty"`

	// Data is what to type into a terminal or to write to a process;
	// DataBase64 is for what is not UTF-8.
	Data       Data   `json:"data,omitempty"`
	DataBase64 []byte `json:"dataBase64,omitempty"`

	Port      int      `json:"port,omitempty"`
	Address   string   `json:"address,omitempty"`   // of dial, as the sandbox sees it; instead of Port
	Subdomain string   `json:"subdomain,omitempty"` // of url.open
	Status    []Status `json:"status,omitempty"`    // of wait and list

	Options         RequestOptions  `json:"options,omitzero"`
	CommandOptions  CommandOptions  `json:"commandOptions,omitzero"`
	TerminalOptions TerminalOptions `json:"terminalOptions,omitzero"`
}

// RequestOptions are options of a [Request]: those of [CreateSandboxOptions],
// [CreateTemplateOptions], [CreateSnapshotOptions], [CreateVolumeOptions] and of
// the listings.
type RequestOptions struct {
	Name          string            `json:"name,omitempty"`
	Runtime       string            `json:"runtime,omitempty"` // of runCode, if the request has none
	TemplateID    string            `json:"templateId,omitempty"`
	SnapshotID    string            `json:"snapshotId,omitempty"`
	Image         string            `json:"image,omitempty"`
	Envs          map[string]string `json:"envs,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	User          string            `json:"user,omitempty"`
	Limit         int               `json:"limit,omitempty"`   // of a listing
	Timeout       int64             `json:"timeout,omitempty"` // milliseconds: the sandbox's lifetime, or the command's
	IdleTimeoutMS int64             `json:"idleTimeoutMs,omitempty"`
	Resources     Resources         `json:"resources,omitzero"`
	Ports         []int             `json:"ports,omitempty"`
	Network       *NetworkPolicy    `json:"network,omitempty"`
	Mounts        []Mount           `json:"mounts,omitempty"`
	Code          []CodeMount       `json:"code,omitempty"`

	// Of template.create. ContextTar is the build context as a tar archive; a
	// large one is better sent as the body of a PUT request.
	Dockerfile  string            `json:"dockerfile,omitempty"`
	ContextTar  []byte            `json:"contextTar,omitempty"`
	BuildArgs   map[string]string `json:"buildArgs,omitempty"`
	Files       map[string]string `json:"files,omitempty"`
	FilesBase64 map[string][]byte `json:"filesBase64,omitempty"` // those that are not UTF-8
	Setup       []string          `json:"setup,omitempty"`
	Launch      []string          `json:"launch,omitempty"`

	SizeMiB int `json:"sizeMiB,omitempty"` // of volume.create
}

// CommandOptions are options of a command in a [Request].
type CommandOptions struct {
	Background bool `json:"background,omitempty"` // start it and return; see [Start]

	// Attach, of process.start that is answered with events, has the process
	// itself as the first, "process", and then its output to its end, for which
	// the process waits however slow the client is.
	Attach bool `json:"attach,omitempty"`
}

// TerminalOptions says what terminal is wanted. The zero value is a shell on a
// terminal of 80 by 24.
type TerminalOptions struct {
	Command string            `json:"command,omitempty"` // for the shell
	Cols    int               `json:"cols,omitempty"`
	Rows    int               `json:"rows,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
}

// Offsets says how many bytes of each stream the client has already.
type Offsets struct {
	Stdout int64 `json:"stdout,omitempty"`
	Stderr int64 `json:"stderr,omitempty"`
}

// String is the ID of the event after which o is what the client has.
func (o Offsets) String() string {
	return strconv.FormatInt(o.Stdout, 10) + "-" + strconv.FormatInt(o.Stderr, 10)
}

// parseOffsets is the inverse of [Offsets.String].
func parseOffsets(id string) (Offsets, bool) {
	out, errOut, two := strings.Cut(id, "-")
	o, err := strconv.ParseUint(out, 10, 63)
	if err != nil || !two {
		return Offsets{}, false
	}
	e, err := strconv.ParseUint(errOut, 10, 63)
	return Offsets{int64(o), int64(e)}, err == nil
}

// Mode is permissions: in JSON a number, or a string of octal digits.
type Mode uint32

// UnmarshalJSON implements [json.Unmarshaler].
func (m *Mode) UnmarshalJSON(data []byte) error {
	base := 10
	if s, quoted := strings.CutPrefix(string(data), `"`); quoted {
		data, base = []byte(strings.TrimSuffix(s, `"`)), 8
	}
	n, err := strconv.ParseUint(string(data), base, 32)
	if err != nil || n > 0o777 {
		return errors.New("mode must be permissions, such as \"644\" in octal")
	}
	*m = Mode(n)
	return nil
}

func (m *Mode) or(perm fs.FileMode) fs.FileMode {
	if m == nil {
		return perm
	}
	return fs.FileMode(*m).Perm()
}

// Data is bytes: in JSON a string, or what JavaScript makes of a Uint8Array,
// which is an array of numbers or an object of them by index.
type Data []byte

// MarshalJSON implements [json.Marshaler] with an array of numbers.
func (d Data) MarshalJSON() ([]byte, error) { return appendBytes(nil, d), nil }

// appendBytes appends p as a JSON array of numbers.
func appendBytes(dst, p []byte) []byte {
	dst = append(dst, '[')
	for i, b := range p {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(b), 10)
	}
	return append(dst, ']')
}

// UnmarshalJSON implements [json.Unmarshaler].
func (d *Data) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		var s string
		err := json.Unmarshal(data, &s)
		*d = Data(s)
		return err
	case '[':
		var numbers []uint16
		if err := json.Unmarshal(data, &numbers); err != nil {
			return errNotBytes
		}
		return d.fill(len(numbers), func(i int) (uint16, bool) { return numbers[i], true })
	case '{':
		var numbers map[int]uint16
		if err := json.Unmarshal(data, &numbers); err != nil {
			return errNotBytes
		}
		return d.fill(len(numbers), func(i int) (uint16, bool) { n, ok := numbers[i]; return n, ok })
	case 'n': // null
		return nil
	}
	return errNotBytes
}

var errNotBytes = errors.New("data must be a string or bytes")

func (d *Data) fill(n int, at func(int) (uint16, bool)) error {
	*d = make(Data, n)
	for i := range *d {
		b, ok := at(i)
		if !ok || b > math.MaxUint8 {
			return errNotBytes
		}
		(*d)[i] = byte(b)
	}
	return nil
}

// typed is what the request wants written, in whichever field it is.
func (r *Request) typed() []byte {
	if r.DataBase64 != nil {
		return r.DataBase64
	}
	return r.Data
}

// timeout is Options.Timeout, for which zero is none.
func (r *Request) timeout() (time.Duration, error) {
	return milliseconds("options.timeout", r.Options.Timeout)
}

func milliseconds(field string, ms int64) (time.Duration, error) {
	if ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, badRequest("%s is out of range", field)
	}
	return time.Duration(ms) * time.Millisecond, nil
}
