package runlooptest

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// runLogs is what an archive of logs has of one run.
type runLogs struct {
	view    *runloopapi.ScenarioRunView
	records []logRecord
	scoring map[string]string
}

// logsOf copies the logs of a run. e.mu is held.
func (e *Emulator) logsOf(r *scenarioRun) runLogs {
	return runLogs{e.runView(r), slices.Clone(r.d.logs), maps.Clone(r.logs)}
}

// write adds the files of a run to an archive: what the API says of it, the
// devbox's log, and the output of each scoring function.
func (l *runLogs) write(z *zip.Writer, dir string) error {
	add := func(name string, write func(io.Writer) error) error {
		w, err := z.Create(dir + name)
		if err != nil {
			return err
		}
		return write(w)
	}
	err := add("run.json", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(l.view)
	})
	if err != nil {
		return err
	}
	err = add("devbox.log", func(w io.Writer) error {
		for _, r := range l.records {
			if _, err := fmt.Fprintln(w, logLine(&r)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(l.scoring)) {
		err := add("scoring/"+name+".log", func(w io.Writer) error {
			_, err := io.WriteString(w, l.scoring[name])
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func logLine(r *logRecord) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", r.Timestamp.Time().Format("2006-01-02T15:04:05.000Z"), r.Level, r.Source)
	if r.Command != "" {
		fmt.Fprintf(&b, " $ %s", r.Command)
	}
	if r.Message != "" {
		fmt.Fprintf(&b, " %s", r.Message)
	}
	if r.ExitCode != nil {
		fmt.Fprintf(&b, " exit status %d", *r.ExitCode)
	}
	return b.String()
}

// writeZip answers with an archive.
func (c *call) writeZip(name string, write func(*zip.Writer) error) error {
	h := c.w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="`+name+`.zip"`)
	z := zip.NewWriter(c.w)
	if err := write(z); err != nil || z.Close() != nil {
		return nil //nolint:nilerr // the client has gone
	}
	return nil
}

func (e *Emulator) downloadRunLogs(c *call) error {
	e.mu.Lock()
	r, err := e.pathRun(c)
	var logs runLogs
	if err == nil {
		logs = e.logsOf(r)
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return c.writeZip(logs.view.ID, func(z *zip.Writer) error { return logs.write(z, "") })
}
