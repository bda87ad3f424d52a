package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/computekit/compute"
	"github.com/computekit/compute/workspace"
)

// Snapshot takes a snapshot of the sandbox, which the state then has: Resume can
// restore it. The one before is deleted, once there is an [Options].Save and it
// has stored the new one; without it snapshots of earlier states stay until
// [Prune]. When Snapshot fails the state, and the snapshot that it has, are as
// before; where it was Save that failed the new one is kept too, as nobody knows
// which of them the store names.
func (s *Session) Snapshot(ctx context.Context) (id string, err error) {
	s.closing.Lock()
	defer s.closing.Unlock()
	if id, err = s.snapshot(ctx); err == nil {
		err = s.pruneSaved(ctx)
	}
	return id, explained(err)
}

func (s *Session) snapshot(ctx context.Context) (string, error) {
	st := s.State()
	digest, err := s.fingerprint(ctx)
	if err != nil {
		return "", err
	}
	attempt := newID()
	snap, err := s.c.CreateSnapshot(ctx, st.SandboxID, &compute.CreateSnapshotOptions{
		Name: "session", Metadata: map[string]string{Label: st.Session, attemptLabel: attempt}})
	if err != nil {
		return "", s.unsnapshot(ctx, attempt, err)
	}
	// When that fails the store may still have it: both snapshots are kept, and
	// the next one that is saved has all others deleted.
	return snap.ID, s.change(ctx, func(st *State) { st.Snapshot, st.Fingerprint = snap.ID, digest })
}

// fingerprint is that of the files, if the state is to have one.
func (s *Session) fingerprint(ctx context.Context) (string, error) {
	st := s.State()
	if !st.Watched {
		return "", nil
	}
	return workspace.Fingerprint(ctx, s.sandbox, st.Manifest)
}

// pruneSaved deletes the snapshots before the one that was saved.
func (s *Session) pruneSaved(ctx context.Context) error {
	if s.save == nil {
		return nil
	}
	st := s.State()
	return prune(ctx, s.c, st.Session, st.Snapshot)
}

// unsnapshot deletes the snapshot of an attempt that has failed, if there is one.
func (s *Session) unsnapshot(ctx context.Context, attempt string, err error) error {
	if compute.NothingDone(err) {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the timeouts bound it
	if derr := deleteSnapshots(ctx, s.c, map[string]string{attemptLabel: attempt}, ""); derr != nil {
		return errors.Join(err, &compute.Error{Op: "snapshot session", Provider: s.c.Name(),
			Err: fmt.Errorf("a snapshot with the metadata %s=%s may be left: %w", attemptLabel, attempt, derr)})
	}
	return err
}

// Prune deletes the snapshots of a session other than the one in st, which must
// be its newest state: those of older states cannot be restored after that.
func Prune(ctx context.Context, c compute.Compute, st *State) error {
	if err := st.validate("prune session"); err != nil {
		return explained(err)
	}
	return explained(prune(ctx, bounded(c, st.Timeouts), st.Session, st.Snapshot))
}

func prune(ctx context.Context, c compute.Compute, session, keep string) error {
	return deleteSnapshots(ctx, c, map[string]string{Label: session}, keep)
}

func deleteSnapshots(ctx context.Context, c compute.Compute, metadata map[string]string, keep string) error {
	all, err := compute.Collect(c.ListSnapshots(ctx, &compute.ListSnapshotsOptions{Metadata: metadata}), 0)
	if err != nil {
		return err
	}
	var errs []error
	for _, snap := range all {
		if snap.ID != keep {
			errs = append(errs, c.DeleteSnapshot(ctx, snap.ID))
		}
	}
	return errors.Join(errs...)
}

// Close does what OnExit says, after a snapshot if SnapshotOnExit says so. When
// it fails it can be called again; once it has succeeded it does nothing, and
// the session is not to be used any more. A sandbox is never destroyed whose
// snapshot could not be taken and saved. One that cannot be suspended runs on.
//
// The state does not change after the snapshot, or the fingerprint, was saved,
// and not at all without one: a program that ends in the middle of it loses
// nothing.
//
// Close works when ctx has ended before, as that of an interrupted program has:
// then the [Timeouts] alone bound it. Otherwise it gives up when ctx ends.
func (s *Session) Close(ctx context.Context) error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	if err := s.close(ctx); err != nil {
		return explained(err)
	}
	s.closed = true
	return nil
}

func (s *Session) close(ctx context.Context) error {
	st := s.State()
	if !s.recorded {
		if err := s.record(ctx, st); err != nil {
			return err
		}
		s.recorded = true
	}
	if err := s.exit(ctx, st.OnExit); err != nil || !st.SnapshotOnExit {
		return err
	}
	return s.pruneSaved(ctx)
}

// record puts into the state what is to be known of the sandbox after it.
func (s *Session) record(ctx context.Context, st *State) error {
	if st.SnapshotOnExit {
		_, err := s.snapshot(ctx)
		return err
	}
	if !st.Watched || st.OnExit == Destroy {
		return nil
	}
	digest, err := s.fingerprint(ctx)
	if err != nil {
		return err
	}
	return s.change(ctx, func(st *State) { st.Fingerprint = digest })
}

func (s *Session) exit(ctx context.Context, how OnExit) error {
	switch how {
	case Suspend:
		return compute.Suspend(ctx, s.sandbox)
	case Keep:
		return nil
	}
	return s.sandbox.Destroy(ctx)
}
