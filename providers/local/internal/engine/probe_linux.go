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
	return Report{Users: ids.ranged(), IDMapped: e.UID == 0}, nil
}
