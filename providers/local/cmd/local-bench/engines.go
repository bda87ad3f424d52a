//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// process is no sandbox at all: what the machine takes to run a program.
func process(context.Context, string) (engine, func() error, error) {
	run := func(ctx context.Context) error { return command(ctx, "true") }
	return engine{name: "a process, not isolated", once: run,
		open: func(ctx context.Context) (func() error, func() error, error) {
			return func() error { return run(ctx) }, func() error { return nil }, nil
		}}, nil, nil
}

func provider(_ context.Context, dir string) (engine, func() error, error) {
	e := engine{name: "compute, `local`"}
	p, err := local.New(local.Config{Dir: filepath.Join(dir, "local")})
	if err != nil {
		return e, nil, err
	}
	open := func(ctx context.Context) (run, remove func() error, err error) {
		sb, err := p.CreateSandbox(ctx, nil)
		if err != nil {
			return nil, nil, err
		}
		return func() error {
			res, err := sb.RunCommand(ctx, compute.Exec("true"))
			if err != nil {
				return err
			}
			return res.Err()
		}, func() error { return sb.Destroy(ctx) }, nil
	}
	e.open = open
	e.once = func(ctx context.Context) error {
		run, remove, err := open(ctx)
		if err != nil {
			return err
		}
		return errors.Join(run(), remove())
	}
	return e, p.Close, nil
}

func bubblewrap(context.Context, string) (engine, func() error, error) {
	args := []string{"bwrap", "--unshare-all", "--die-with-parent", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", "/usr", "/usr"}
	for _, link := range []string{"/bin", "/sbin", "/lib", "/lib64"} {
		if to, err := os.Readlink(link); err == nil {
			args = append(args, "--symlink", to, link)
		}
	}
	args = append(args, "true")
	return engine{name: "bubblewrap", once: func(ctx context.Context) error { return command(ctx, args...) }}, nil, nil
}

// bundle makes a directory for the engines that take an OCI bundle: a root with
// busybox, and a configuration with a network of its own.
func bundle(ctx context.Context, dir, program string, args ...string) (string, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return "", err
	}
	root := filepath.Join(dir, program)
	if err := os.MkdirAll(filepath.Join(root, "rootfs", "bin"), 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"busybox", "true", "sleep"} {
		if err := command(ctx, "cp", busybox, filepath.Join(root, "rootfs", "bin", name)); err != nil {
			return "", err
		}
	}
	if err := command(ctx, "sh", "-c", `cd "$1" && rm -f config.json && runc spec`, "sh", root); err != nil {
		return "", err
	}
	return root, adapt(filepath.Join(root, "config.json"), args)
}

// adapt makes the configuration that runc writes one for a program that is not
// interactive.
func adapt(file string, args []string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	process, ok := config["process"].(map[string]any)
	if !ok {
		return errors.New("the configuration has no process")
	}
	process["terminal"], process["args"] = false, args
	delete(process, "rlimits") // which not every root may raise
	if data, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// oci is an engine that takes OCI bundles. global are its options.
func oci(ctx context.Context, name, dir, program string, global ...string) (engine, func() error, error) {
	e := engine{name: name}
	path, err := exec.LookPath(program)
	if err != nil {
		return e, nil, err
	}
	once, err := bundle(ctx, dir, program, "/bin/true")
	if err != nil {
		return e, nil, err
	}
	sleeper, err := bundle(ctx, dir, program+"-sleep", "/bin/sleep", "600")
	if err != nil {
		return e, nil, err
	}
	base := append([]string{path, "--root", filepath.Join(dir, program+"-state")}, global...)
	with := func(ctx context.Context, args ...string) error {
		return command(ctx, append(base[:len(base):len(base)], args...)...)
	}
	var count atomic.Int64
	id := func() string { return fmt.Sprintf("bench-%d", count.Add(1)) }
	e.once = func(ctx context.Context) error { return with(ctx, "run", "--bundle", once, id()) }
	e.open = func(ctx context.Context) (run, remove func() error, err error) {
		id := id()
		// The sandbox would hold a pipe open.
		detached := append(base[:len(base):len(base)], "run", "--detach", "--bundle", sleeper, id)
		if err := exec.CommandContext(ctx, detached[0], detached[1:]...).Run(); err != nil {
			return nil, nil, err
		}
		return func() error { return with(ctx, "exec", id, "/bin/true") },
			func() error { return with(context.WithoutCancel(ctx), "delete", "--force", id) }, nil
	}
	return e, nil, nil
}

func runc(ctx context.Context, dir string) (engine, func() error, error) {
	return oci(ctx, "runc", dir, "runc")
}

func gvisor(ctx context.Context, dir string) (engine, func() error, error) {
	return oci(ctx, "gVisor (runsc)", dir, "runsc", "--network=none", "--ignore-cgroups")
}

// docker uses the daemon that is there, or else one of its own.
func docker(ctx context.Context, dir string) (engine, func() error, error) {
	e := engine{name: "Docker"}
	if _, err := exec.LookPath("docker"); err != nil {
		return e, nil, err
	}
	done, err := daemon(ctx, filepath.Join(dir, "docker"))
	if err != nil {
		return e, done, err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return e, done, err
	}
	const image = "local-bench"
	err = command(ctx, "sh", "-c", `mkdir -p "$1/bin" && cp "$2" "$1/bin/sh" && for p in true sleep; do ln -sf sh "$1/bin/$p"; done && tar -C "$1" -c . | docker import - "$3"`,
		"sh", filepath.Join(dir, "image"), busybox, image)
	if err != nil {
		return e, done, err
	}
	e.once = func(ctx context.Context) error {
		return command(ctx, "docker", "run", "--rm", "--network", "none", image, "/bin/true")
	}
	e.open = func(ctx context.Context) (run, remove func() error, err error) {
		const name = "local-bench-sleeper"
		if err := command(ctx, "docker", "run", "--detach", "--name", name, "--network", "none", image, "/bin/sleep", "600"); err != nil {
			return nil, nil, err
		}
		return func() error { return command(ctx, "docker", "exec", name, "/bin/true") },
			func() error { return command(context.WithoutCancel(ctx), "docker", "rm", "--force", name) }, nil
	}
	return e, done, nil
}

func daemon(ctx context.Context, dir string) (func() error, error) {
	if command(ctx, "docker", "version") == nil {
		return nil, nil
	}
	socket := "unix://" + filepath.Join(dir, "sock")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "dockerd", "--data-root", dir+"/data", "--exec-root", dir+"/exec", "-p", dir+"/pid", "-H", socket,
		"--iptables=false", "--ip6tables=false", "--bridge=none")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := func() error { return errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()) }
	if err := os.Setenv("DOCKER_HOST", socket); err != nil {
		return done, err
	}
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = command(ctx, "docker", "version"); err == nil {
			return done, nil
		}
	}
	return done, err
}

// command runs a program. Its output goes through a pipe, as it would for those
// who want it.
func command(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", args[0], err, out)
	}
	return nil
}
