package runlooptest

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	maxLogs    = 5000    // records that a devbox keeps
	maxLogLine = 4 << 10 // bytes of a line; what is longer becomes several
)

// logRecord is a record, and the execution it belongs to.
type logRecord struct {
	runloopapi.DevboxLog
	execution string
}

func (e *Emulator) routeLogs() {
	handle(e, "GET /v1/devboxes/{id}/logs", "devboxes.logs", e.devboxLogs)
	e.add("GET /v1/devboxes/{id}/logs/tail", route{op: "devboxes.logs_tail", stream: true, do: e.tailLogs})
}

// log1 adds a record to the log of a devbox.
func (e *Emulator) log1(d *devbox, rec runloopapi.DevboxLog) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rec.Timestamp = runloopapi.MillisOf(time.Now())
	if len(d.logs) >= 2*maxLogs {
		d.logsDropped += len(d.logs) - maxLogs
		d.logs = append(d.logs[:0], d.logs[len(d.logs)-maxLogs:]...)
	}
	d.logs = append(d.logs, logRecord{rec, rec.CommandID})
	e.notify()
}

// matchLog returns which records the query asks for.
func matchLog(c *call) func(*logRecord) bool {
	execution, shell := c.query.Get("execution_id"), c.query.Get("shell_name")
	return func(r *logRecord) bool {
		return (execution == "" || r.execution == execution) && (shell == "" || r.ShellName == shell)
	}
}

func (e *Emulator) devboxLogs(c *call, _ *none) (*runloopapi.DevboxLogsView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	v := &runloopapi.DevboxLogsView{Logs: []runloopapi.DevboxLog{}}
	match := matchLog(c)
	for i := max(0, len(d.logs)-maxLogs); i < len(d.logs); i++ {
		if match(&d.logs[i]) {
			v.Logs = append(v.Logs, d.logs[i].DevboxLog)
		}
	}
	return v, nil
}

// tailLogs streams the log, first what there is, until the devbox ends.
func (e *Emulator) tailLogs(c *call) error {
	e.mu.Lock()
	d, err := e.findDevbox(c)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	e.followLogs(c, d)
	return nil
}

// followLogs streams until the devbox has ended, or the client or the emulator has
// gone.
func (e *Emulator) followLogs(c *call, d *devbox) {
	ev := c.events()
	match := matchLog(c)
	for next := 0; ; {
		var batch []runloopapi.DevboxLog
		over := false
		_, err := e.await(c.r.Context(), heartbeat, func() bool {
			for next = max(next, d.logsDropped); next < d.logsDropped+len(d.logs); next++ {
				if r := &d.logs[next-d.logsDropped]; match(r) {
					batch = append(batch, r.DevboxLog)
				}
			}
			over = d.status.Final()
			return over || len(batch) > 0
		})
		if err != nil {
			return
		}
		for _, rec := range batch {
			if ev.send(rec) != nil {
				return
			}
		}
		if over && len(batch) == 0 || len(batch) == 0 && ev.beat() != nil {
			return
		}
	}
}

// lineLogger is a writer that makes a record of each line.
type lineLogger struct {
	e    *Emulator
	d    *devbox
	rec  runloopapi.DevboxLog
	mu   sync.Mutex
	part []byte
}

func (e *Emulator) logLines(d *devbox, source runloopapi.DevboxLogSource, execution, shell string) *lineLogger {
	return &lineLogger{e: e, d: d, rec: runloopapi.DevboxLog{
		Level: "info", Source: source, CommandID: execution, ShellName: shell,
	}}
}

// Write implements io.Writer.
func (l *lineLogger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		if room := maxLogLine - len(l.part); len(line) > room {
			line, after, whole = rest[:room], rest[room:], true
		}
		l.part = append(l.part, line...)
		rest = after
		if whole {
			l.emit()
		}
	}
	return len(p), nil
}

// flush makes a record of an unfinished line.
func (l *lineLogger) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.emit()
	}
}

func (l *lineLogger) emit() {
	rec := l.rec
	rec.Message = strings.ToValidUTF8(string(l.part), "\ufffd")
	l.part = l.part[:0]
	l.e.log1(l.d, rec)
}
