package computetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var typedErrors = group{"ErrorsAreTyped", []check{
	{"UnknownIDs", unknownIDs},
	{"UnknownIDsOfAbilities", unknownAbilityIDs},
	{"UnknownIDsOfTemplates", unknownTemplateIDs},
	{"UnknownIDsOfSnapshots", unknownSnapshotIDs},
	{"DestroyedSandbox", destroyedSandbox},
	{"DestroyedSandboxFiles", destroyedFiles},
	{"DestroyedSandboxAbilities", destroyedAbilities},
	{"Context", contextErrors},
	{"Unsupported", unsupportedErrors},
	{"Invalid", invalidErrors},
	{"FileErrors", fileErrors},
	{"NoSecrets", noSecrets},
}}

func isAny(err error, kinds ...error) bool {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

const unknown = "computetest-no-such-42"

// requireTyped wants a *compute.Error that says who failed at what.
func (t *tester) requireTyped(what string, err error) {
	t.Helper()
	typed, ok := errors.AsType[*compute.Error](err)
	if !assert.True(t, ok, "%s: error is a %T (%v); want a *compute.Error", what, err, err) {
		return
	}
	assert.NotEmpty(t, typed.Op, "%s: Error.Op", what)
	assert.Equal(t, t.c.Name(), typed.Provider, "%s: Error.Provider", what)
}

// requireNotFound wants that and nothing else that could be acted upon.
func (t *tester) requireNotFound(what, id string, err error) {
	t.Helper()
	assert.ErrorIs(t, err, compute.ErrNotFound, what)
	for _, kind := range []error{compute.ErrInvalid, compute.ErrUnauthorized, compute.ErrForbidden,
		compute.ErrConflict, compute.ErrQuota, compute.ErrUnavailable, errors.ErrUnsupported, context.Canceled} {
		assert.NotErrorIs(t, err, kind, what)
	}
	t.requireTyped(what, err)
	if typed, ok := errors.AsType[*compute.Error](err); ok {
		assert.Equal(t, id, typed.ID, "%s: Error.ID", what)
	}
}

func unknownIDs(t *tester) {
	sb, err := t.c.GetSandbox(t.ctx(), unknown)
	t.requireNotFound("GetSandbox", unknown, err)
	assert.Nil(t, sb, "GetSandbox returned a sandbox and an error")
	for what, opts := range map[string]*compute.CreateSandboxOptions{"Template": {Template: unknown}, "Snapshot": {Snapshot: unknown}} {
		_, err := t.create(t.ctx(), opts)
		if !t.lacks(err) {
			t.requireNotFound("CreateSandbox from "+what, unknown, err)
		}
	}
}

func unknownAbilityIDs(t *tester) {
	ctx, sb := t.ctx(), t.sandbox(nil)
	_, perr := compute.GetProcess(ctx, sb, unknown)
	_, verr := compute.GetVolume(ctx, t.c, unknown)
	for what, err := range map[string]error{
		"GetProcess": perr, "GetVolume": verr, "Rollback": compute.Rollback(ctx, sb, unknown),
		"TemplateLog": compute.TemplateLog(ctx, t.c, unknown, &buffer{}),
	} {
		if !t.lacks(err) {
			t.requireNotFound(what, unknown, err)
		}
	}
	if err := compute.DeleteVolume(ctx, t.c, unknown); !t.lacks(err) {
		assert.NoError(t, err, "DeleteVolume is idempotent")
	}
}

func unknownTemplateIDs(t *tester) {
	if !t.cfg.Templates {
		t.Skip("no templates")
	}
	_, err := t.c.GetTemplate(t.ctx(), unknown)
	t.requireNotFound("GetTemplate", unknown, err)
	assert.NoError(t, t.c.DeleteTemplate(t.ctx(), unknown), "DeleteTemplate is idempotent")
}

func unknownSnapshotIDs(t *tester) {
	if !t.cfg.Snapshots {
		t.Skip("no snapshots")
	}
	_, err := t.c.GetSnapshot(t.ctx(), unknown)
	t.requireNotFound("GetSnapshot", unknown, err)
	_, err = t.c.CreateSnapshot(t.ctx(), unknown, nil)
	t.requireNotFound("CreateSnapshot", unknown, err)
	assert.NoError(t, t.c.DeleteSnapshot(t.ctx(), unknown), "DeleteSnapshot is idempotent")
}

// destroyed returns a handle of a sandbox that is gone.
func (t *tester) destroyed() compute.Sandbox {
	t.Helper()
	sb := t.sandbox(nil)
	t.write(sb, "f", "")
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	return sb
}

func destroyedSandbox(t *tester) {
	sb := t.destroyed()
	_, err := sb.RunCommand(t.ctx(), compute.Exec("true"))
	t.requireNotFound("RunCommand", sb.ID(), err)
	_, err = sb.Info(t.ctx())
	t.requireNotFound("Info", sb.ID(), err)
	_, err = t.c.GetSandbox(t.ctx(), sb.ID())
	t.requireNotFound("GetSandbox", sb.ID(), err)
	if _, err = sb.GetURL(t.ctx(), 8080); !t.lacks(err) {
		t.requireNotFound("GetURL", sb.ID(), err)
	}
	if t.cfg.Snapshots {
		_, err = t.c.CreateSnapshot(t.ctx(), sb.ID(), nil)
		t.requireNotFound("CreateSnapshot", sb.ID(), err)
	}
}

// destroyedFiles: the files of a sandbox that is gone are not "not there".
func destroyedFiles(t *tester) {
	sb := t.destroyed()
	ctx, fsys := t.ctx(), sb.Filesystem()
	_, rerr := fsys.ReadFile(ctx, "f")
	_, derr := fsys.ReadDir(ctx, ".")
	_, serr := fsys.Stat(ctx, "f")
	_, eerr := compute.Exists(ctx, fsys, "f")
	for what, err := range map[string]error{
		"ReadFile": rerr, "ReadDir": derr, "Stat": serr, "Exists": eerr,
		"WriteFile": fsys.WriteFile(ctx, "f", nil, 0o644), "MkdirAll": fsys.MkdirAll(ctx, "d", 0o755),
		"RemoveAll": fsys.RemoveAll(ctx, "f"),
	} {
		t.requireNotFound(what, sb.ID(), err)
		assert.NotErrorIs(t, err, fs.ErrNotExist, what)
	}
}

func destroyedAbilities(t *tester) {
	sb := t.destroyed()
	calls := abilityCalls(t.ctx(), t.c, sb)
	for _, name := range []string{"TemplateLogger", "Volumes"} {
		delete(calls, name)
	}
	for name, call := range calls {
		err := call()
		if err == nil && name == "URLCloser" {
			continue // what it would close is closed
		}
		if !t.lacks(err) {
			assert.ErrorIs(t, err, compute.ErrNotFound, name)
			t.requireTyped(name, err)
		}
	}
}

func contextErrors(t *tester) {
	sb, dead := t.sandbox(nil), t.dead()
	_, cerr := t.create(dead, nil)
	_, rerr := sb.RunCommand(dead, compute.Exec("true"))
	_, ierr := sb.Info(dead)
	for what, err := range map[string]error{"CreateSandbox": cerr, "RunCommand": rerr, "Info": ierr} {
		t.requireTyped(what, err)
		assert.ErrorIs(t, err, context.Canceled, what)
		assert.False(t, isAny(err, compute.ErrNotFound, compute.ErrInvalid, errors.ErrUnsupported), "%s: %v", what, err)
	}
}

func unsupportedErrors(t *tester) {
	_, err := t.create(t.ctx(), &compute.CreateSandboxOptions{Image: "computetest.invalid/no/such:image"})
	assert.Error(t, err)
	t.requireTyped("CreateSandbox with Image", err)
	assert.False(t, t.lacks(err) && isAny(err, compute.ErrNotFound, compute.ErrInvalid), "two kinds: %v", err)
}

func invalidErrors(t *tester) {
	_, err := t.create(t.ctx(), &compute.CreateSandboxOptions{Ports: []int{-1}})
	t.requireInvalid("CreateSandbox", err)
	assert.Contains(t, err.Error(), "Ports", "the error names the field")
	_, err = t.sandbox(nil).RunCommand(t.ctx(), &compute.Command{})
	t.requireInvalid("RunCommand", err)
}

// noSecrets makes many things fail that have a secret in them.
func noSecrets(t *tester) {
	const secret = "s3cr3t-Tok3n"
	env := map[string]string{"A": secret}
	sb, dead := t.sandbox(nil), t.dead()
	run := func(ctx context.Context, cmd compute.Command) error {
		cmd.Env = env
		_, err := sb.RunCommand(ctx, &cmd)
		return err
	}
	create := func(ctx context.Context, opts compute.CreateSandboxOptions) error {
		opts.Env = env
		_, err := t.create(ctx, &opts)
		return err
	}
	code := []compute.CodeMount{{URL: "https://computetest.invalid/r.git", Token: secret}}
	for what, err := range map[string]error{
		"dead RunCommand":    run(dead, compute.Command{Args: []string{"true"}}),
		"directory":          run(t.ctx(), compute.Command{Args: []string{"true"}, Dir: "no-such-dir"}),
		"user":               run(t.ctx(), compute.Command{Args: []string{"true"}, User: "no-such-user-42"}),
		"deadline":           run(t.timeout(t.slow(quiet)), compute.Command{Args: []string{"sleep", "60"}}),
		"input":              run(t.ctx(), compute.Command{Args: []string{"cat"}, Stdin: readerFunc(func([]byte) (int, error) { return 0, errors.New("boom") })}),
		"dead CreateSandbox": create(dead, compute.CreateSandboxOptions{}),
		"template":           create(t.ctx(), compute.CreateSandboxOptions{Template: unknown}),
		"image":              create(t.ctx(), compute.CreateSandboxOptions{Image: "computetest.invalid/no:such"}),
		"port":               create(t.ctx(), compute.CreateSandboxOptions{Ports: []int{-1}}),
		"code":               create(t.ctx(), compute.CreateSandboxOptions{Code: code}),
	} {
		if err == nil {
			continue // that it fails is for other checks
		}
		text := fmt.Sprintf("%v %+v %q", err, err, errors.Unwrap(err))
		assert.NotContains(t, text, secret, "%s: a secret is in the error's text", what)
	}
}
