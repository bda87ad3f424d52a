package runloopapi

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
)

// buildContextTTL is how long the service keeps the object that a build takes its files from.
const buildContextTTL = time.Hour

// maxLogTail is how many records of its log the error of a failed build has.
const maxLogTail = 20

// Blueprint is an image of devboxes that the service built. It holds nothing but its ID.
type Blueprint struct {
	ID     string
	client *Client
}

// Blueprint returns the blueprint with an ID. It makes no request.
func (c *Client) Blueprint(id string) *Blueprint { return &Blueprint{ID: id, client: c} }

// A BuildOption says something about the build of a blueprint that its parameters do not.
type BuildOption func(*build)

type build struct {
	fsys   fs.FS
	ignore []string
	logs   io.Writer
}

// WithBuildContext uploads a directory for the build, as [Client.UploadDir] says, where COPY finds its files. It takes the place of the
// parameters' build context. The service deletes the upload after an hour.
func WithBuildContext(fsys fs.FS, ignore ...string) BuildOption {
	return func(b *build) { b.fsys, b.ignore = fsys, ignore }
}

// WithBuildLogs writes the log of the build to w while the build goes on, a line for each record. An error of w ends the wait.
func WithBuildLogs(w io.Writer) BuildOption { return func(b *build) { b.logs = w } }

// NewBlueprint builds a blueprint and waits for the end of the build, for as long as ctx lasts. A build that fails is a
// *[BuildError]. The end of ctx ends the wait, not the build; the error names the blueprint.
func (c *Client) NewBlueprint(
	ctx context.Context, params *BlueprintCreateParams, opts ...BuildOption,
) (*Blueprint, error) {
	b, err := c.StartBlueprint(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	if _, err := b.Wait(ctx, opts...); err != nil {
		return nil, err
	}
	return b, nil
}

// StartBlueprint begins to build a blueprint and returns at once. Wait waits.
func (c *Client) StartBlueprint(
	ctx context.Context, params *BlueprintCreateParams, opts ...BuildOption,
) (*Blueprint, error) {
	var b build
	for _, opt := range opts {
		opt(&b)
	}
	own := *params
	if b.fsys != nil {
		object, err := c.UploadDir(ctx, &ObjectCreateParams{
			Name: "build-context-" + params.Name, TTLMS: buildContextTTL.Milliseconds(),
		}, b.fsys, b.ignore)
		if err != nil {
			return nil, err
		}
		own.BuildContext = object.BuildContext()
	}
	view, err := c.Blueprints.Create(ctx, &own)
	if err != nil {
		return nil, err
	}
	return c.Blueprint(view.ID), nil
}

// PreviewBlueprint returns the Dockerfile that a blueprint would be built from, without a build.
func (c *Client) PreviewBlueprint(
	ctx context.Context, params *BlueprintCreateParams, opts ...RequestOption,
) (string, error) {
	view, err := c.Blueprints.Preview(ctx, params, opts...)
	if err != nil {
		return "", err
	}
	return view.Dockerfile, nil
}

// Wait waits for the end of the build. It asks once a second, for as long as ctx lasts. A build that failed is a *[BuildError]. Of the
// options WithBuildLogs has an effect: the log is written from its beginning.
func (b *Blueprint) Wait(ctx context.Context, opts ...BuildOption) (*BlueprintView, error) {
	var o build
	for _, opt := range opts {
		opt(&o)
	}
	logs := logFollower{blueprint: b, w: o.logs}
	for {
		view, err := b.Info(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for blueprint %s: %w", b.ID, err)
		}
		if err := logs.follow(ctx); err != nil {
			return nil, err
		}
		switch view.Status {
		case BlueprintBuildComplete:
			return view, nil
		case BlueprintQueued, BlueprintProvisioning, BlueprintBuilding:
		default:
			return nil, b.failed(ctx, view)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return nil, fmt.Errorf("wait for blueprint %s: %w", b.ID, err)
		}
	}
}

// failed makes the error of a build that ended without success.
func (b *Blueprint) failed(ctx context.Context, view *BlueprintView) error {
	e := &BuildError{Blueprint: view}
	logs, err := b.Logs(ctx)
	if err != nil {
		return e // its log is a help, and no more than that
	}
	e.LogTail = logs[max(len(logs)-maxLogTail, 0):]
	return e
}

// BuildError says that a blueprint's build ended without success. It matches [ErrState].
type BuildError struct {
	Blueprint *BlueprintView
	LogTail   []BlueprintLog // the end of the build's log, at most 20 records
}

// Error names the blueprint, its state and the reason, and ends with the last lines of the log.
func (e *BuildError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "runloop: the build of blueprint %s (%s) is %s", e.Blueprint.ID, e.Blueprint.Name, e.Blueprint.Status)
	if e.Blueprint.FailureReason != "" {
		fmt.Fprintf(&b, ": %s", e.Blueprint.FailureReason)
	}
	for _, l := range e.LogTail {
		b.WriteString("\n\t")
		b.WriteString(strings.TrimRight(l.Message, "\n"))
	}
	return b.String()
}

// Is reports whether target is ErrState.
func (e *BuildError) Is(target error) bool { return target == ErrState }

// logFollower writes what is new in the log of a build.
type logFollower struct {
	blueprint *Blueprint
	w         io.Writer // nil: nowhere
	written   int       // records
}

func (f *logFollower) follow(ctx context.Context) error {
	if f.w == nil {
		return nil
	}
	logs, err := f.blueprint.Logs(ctx)
	if err != nil {
		return fmt.Errorf("follow the log of blueprint %s: %w", f.blueprint.ID, err)
	}
	for ; f.written < len(logs); f.written++ {
		line := strings.TrimSuffix(logs[f.written].Message, "\n") + "\n"
		if _, err := io.WriteString(f.w, line); err != nil {
			return fmt.Errorf("runloop: write the log of blueprint %s: %w", f.blueprint.ID, err)
		}
	}
	return nil
}

// Info returns what the service knows of the blueprint.
func (b *Blueprint) Info(ctx context.Context, opts ...RequestOption) (*BlueprintView, error) {
	return b.client.Blueprints.Get(ctx, b.ID, opts...)
}

// Logs returns the log of the build, from its beginning to now.
func (b *Blueprint) Logs(ctx context.Context, opts ...RequestOption) ([]BlueprintLog, error) {
	view, err := b.client.Blueprints.Logs(ctx, b.ID, opts...)
	if err != nil {
		return nil, err
	}
	return view.Logs, nil
}

// Delete deletes the blueprint. It is an [ErrBadRequest] while snapshots depend on it.
func (b *Blueprint) Delete(ctx context.Context, opts ...RequestOption) error {
	return b.client.Blueprints.Delete(ctx, b.ID, opts...)
}

// NewDevbox makes a devbox from the blueprint and waits until it runs, see [Client.NewDevbox]. params may be nil.
func (b *Blueprint) NewDevbox(ctx context.Context, params *DevboxCreateParams, opts ...RequestOption) (*Devbox, error) {
	own := DevboxCreateParams{}
	if params != nil {
		own = *params
	}
	own.BlueprintID, own.BlueprintName, own.SnapshotID = b.ID, "", ""
	return b.client.NewDevbox(ctx, &own, opts...)
}
