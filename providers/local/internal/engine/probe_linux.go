package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// Probe starts a sandbox below stateDir, looks at it, and destroys it. Its
// error names what this system lacks, if it lacks anything.
func Probe(ctx context.Context, stateDir string) (Report, error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return Report{}, err
	}
	temp, err := os.MkdirTemp(stateDir, ".probe-")
	if err != nil {
		return Report{}, err
	}
	defer os.Remove(temp)
	dir := filepath.Join(temp, "box")
	b, err := Start(ctx, Spec{Dir: dir, StateDir: stateDir})
	if err != nil {
		return Report{}, err
	}
	report, err := b.inspect(ctx)
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return report, errors.Join(err, Destroy(clean, dir))
}

// ProbeRestricted starts a sandbox without namespaces below stateDir, runs a
// command in it, and destroys it. Its error names what this system lacks.
func ProbeRestricted(ctx context.Context, stateDir string) error {
	temp, err := os.MkdirTemp(stateDir, ".probe-")
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	dir := filepath.Join(temp, "box")
	b, err := StartRestricted(ctx, Spec{Dir: dir, StateDir: stateDir})
	if err != nil {
		return err
	}
	// A program of every system, and a file that it must be able to make.
	_, err = b.Exec(ctx, Command{Argv: []string{"sh", "-c", ": > $TMPDIR/probe"}})
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return errors.Join(err, Destroy(clean, dir))
}

func (b *Box) inspect(ctx context.Context) (Report, error) {
	ids, err := currentMap()
	if err != nil {
		return Report{}, err
	}
	// env is a program of every system's /usr, not of the base layer.
	e, err := b.Stat(ctx, "/usr/bin/env")
	if err != nil {
		return Report{}, err
	}
	return Report{Users: ids.ranged(), UserIDs: ids.size, IDMapped: e.UID == 0}, nil
}
