//go:build linux

package local_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// builds takes a template through its life.
func builds(ctx context.Context, c *local.Provider) error {
	var tpl *compute.Template
	for _, act := range []struct {
		name string
		do   func() error
	}{
		{"build", func() (err error) {
			tpl, err = c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "t", Setup: []string{"echo one >/f", "echo two >>/f"}})
			return err
		}},
		{"use", func() error {
			return compute.WithSandbox(ctx, c, &compute.CreateSandboxOptions{Template: tpl.ID}, func(ctx context.Context, sb compute.Sandbox) error {
				out, err := compute.Output(ctx, sb, compute.Shell("cat /f"))
				if err == nil && out != "one\ntwo\n" {
					return fmt.Errorf("the template has %q", out)
				}
				return err
			})
		}},
		{"volume", func() error {
			v, err := c.CreateVolume(ctx, nil)
			if err != nil {
				return err
			}
			opts := &compute.CreateSandboxOptions{Mounts: []compute.Mount{{Volume: v.ID, Path: "/v"}}}
			err = compute.WithSandbox(ctx, c, opts, func(ctx context.Context, sb compute.Sandbox) error {
				return ran(sb.RunCommand(ctx, compute.Shell("echo kept >/v/f")))
			})
			if err != nil {
				return err
			}
			return c.DeleteVolume(ctx, v.ID)
		}},
		{"delete", func() error { return c.DeleteTemplate(ctx, tpl.ID) }},
		{"prune", func() error { return c.PruneBuildCache(ctx, 0) }},
		{"destroy", func() error { return nil }},
	} {
		if err := act.do(); err != nil {
			return fmt.Errorf("%s: %w", act.name, err)
		}
		fmt.Println("done", act.name)
	}
	return nil
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// meetings are the steps before which another program's look at the state
// directory can matter most: those that lock, and that make what is locked.
var meetings = []uint32{unix.SYS_FLOCK, unix.SYS_MKDIRAT}

// Whatever a program is about to do, another may start on the same state
// directory, and takes nothing from it.
func TestAnotherStartsAtEveryStep(t *testing.T) {
	for _, mode := range []string{"acts", "builds"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			c := newLocal(t, dir, local.Namespaces)
			looks := 0
			told := perform(t, dir, &stepper{mode: mode, each: func(nr uint32) {
				if !slices.Contains(meetings, nr) {
					return
				}
				looks++
				for _, id := range entries(t, dir, "templates") {
					if meta := filepath.Join(dir, "templates", id, "meta.json"); exists(meta) {
						assert.FileExists(t, filepath.Join(filepath.Dir(meta), "log"), "others see it, and cannot follow")
					}
				}
				other, err := local.New(local.Config{Dir: dir})
				if assert.NoError(t, err) {
					assert.NoError(t, other.Close())
				}
			}})
			t.Log(looks, "looks")
			require.Empty(t, told.failure)
			require.True(t, told.done["destroy"])
			if mode == "builds" {
				require.Empty(t, entries(t, dir, "templates"))
				require.Empty(t, entries(t, dir, "layers"), "the other's looks have left them to this")
			}
			requireNothingLeft(t, c, dir)
		})
	}
}
