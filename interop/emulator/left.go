package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/computekit/compute"
)

// left is what the backend holds.
type left struct {
	Sandboxes []string `json:"sandboxes"`
	Snapshots []string `json:"snapshots"`
	Templates []string `json:"templates"`
}

// whatIsLeft lists what the backend holds. What it does not have, it does not hold.
func whatIsLeft(ctx context.Context, c compute.Compute) (*left, error) {
	l := &left{Sandboxes: []string{}, Snapshots: []string{}, Templates: []string{}}
	for s, err := range c.ListSandboxes(ctx, nil) {
		if err != nil {
			return nil, err
		}
		l.Sandboxes = append(l.Sandboxes, s.ID)
	}
	for s, err := range c.ListSnapshots(ctx, nil) {
		if errors.Is(err, errors.ErrUnsupported) {
			break
		} else if err != nil {
			return nil, err
		}
		l.Snapshots = append(l.Snapshots, s.ID)
	}
	for t, err := range c.ListTemplates(ctx, nil) {
		if errors.Is(err, errors.ErrUnsupported) {
			break
		} else if err != nil {
			return nil, err
		}
		l.Templates = append(l.Templates, t.ID)
	}
	return l, nil
}

// nothingLeft fails if the backend holds anything.
func nothingLeft(ctx context.Context, c compute.Compute) error {
	l, err := whatIsLeft(ctx, c)
	if err != nil {
		return fmt.Errorf("what is left: %w", err)
	}
	if n := len(l.Sandboxes) + len(l.Snapshots) + len(l.Templates); n > 0 {
		return fmt.Errorf("left behind: %+v", *l)
	}
	return nil
}
