package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

const (
	maxBuildLog  = 32 << 20 // bytes kept of a build's output
	maxBuildTail = 2 << 10  // bytes of a step's output in its error
	followPause  = 50 * time.Millisecond
)

// buildLog takes the output of a build: into a file, and to the caller's
// writer. When that fails the build ends.
type buildLog struct {
	mu   sync.Mutex
	file *os.File
	kept int
	w    io.Writer // may be nil
	stop context.CancelCauseFunc
	err  error // of w
	tail []byte
}

func newBuildLog(file string, w io.Writer, stop context.CancelCauseFunc) (*buildLog, error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	return &buildLog{file: f, w: w, stop: stop}, err
}

// Write implements [io.Writer]. It never fails: the build is stopped instead.
func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if n := len(l.tail); n > 2*maxBuildTail {
		l.tail = append(l.tail[:0], l.tail[n-maxBuildTail:]...)
	}
	l.keep(p)
	if l.w != nil && l.err == nil {
		if _, l.err = l.w.Write(p); l.err != nil {
			l.stop(l.err)
		}
	}
	return len(p), nil
}

// keep writes to the file, as far as it goes: a full disk shows elsewhere too.
func (l *buildLog) keep(p []byte) {
	if l.kept >= maxBuildLog {
		return
	}
	if l.kept += len(p); l.kept >= maxBuildLog {
		p = append(bytes.Clone(p), "\n[the rest was not kept]\n"...)
	}
	_, _ = l.file.Write(p)
}

func (l *buildLog) printf(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }

// mark begins what tail returns.
func (l *buildLog) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = l.tail[:0]
}

// output returns the end of what was written since mark.
func (l *buildLog) output() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.tail[max(0, len(l.tail)-maxBuildTail):])
}

func (l *buildLog) close() { _ = l.file.Close() }

// TemplateLog implements [compute.TemplateLogger]. The template may be one that
// another program is building.
func (p *Provider) TemplateLog(ctx context.Context, id string, w io.Writer) error {
	const op = "template log"
	if err := p.noTemplates(op); err != nil {
		return err
	}
	if err := ended(ctx, op, id); err != nil {
		return err
	}
	if !validID(id, templatePrefix) {
		return providers.NotFound(op, name, id)
	}
	if _, err := p.state.loadTemplate(id); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return providers.NotFound(op, name, id)
		}
		return p.outside(op, id, err)
	}
	f, err := os.Open(filepath.Join(p.state.template(id), "log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was deleted just now
	}
	if err != nil {
		return p.outside(op, id, err)
	}
	defer f.Close()
	return p.follow(ctx, op, id, f, w)
}

// follow copies a log until the build has ended.
func (p *Provider) follow(ctx context.Context, op, id string, f io.Reader, w io.Writer) error {
	r := &streamReader{ctx: ctx, r: f}
	for {
		// Only what is read after the build has ended is all.
		building := p.building(id)
		if _, err := io.Copy(w, r); err != nil {
			return &compute.Error{Op: op, Provider: name, ID: id, Err: err}
		}
		if !building {
			return nil
		}
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
			return ended(ctx, op, id)
		}
	}
}

// building reports whether a program is at work on the template.
func (p *Provider) building(id string) bool {
	m, err := p.state.loadTemplate(id)
	if err != nil || m.Status != compute.TemplateBuilding {
		return false
	}
	reason, err := p.abandoned(m)
	return err == nil && reason == ""
}
