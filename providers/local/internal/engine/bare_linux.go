package engine

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/computekit/compute/providers/local/internal/tree"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// trees lists the overlays of a sandbox. A bare one has its root only.
func trees(bare bool) []wire.Tree {
	if bare {
		return []wire.Tree{{Name: rootTree}}
	}
	return hostTrees()
}

// Names of base layers in a state directory.
const (
	basePrefix = "base-"
	barePrefix = "base-bare-"
)

func baseName(ids idMap, bare bool) string {
	if bare {
		return barePrefix + fingerprintOf(ids, nil)
	}
	return basePrefix + fingerprint(ids)
}

// bareDirs are in every root, below what its layers have.
var bareDirs = []skeleton{
	{path: "dev", mode: 0o755}, {path: "proc", mode: 0o555}, {path: "etc", mode: 0o755}, {path: "root", mode: 0o700},
	{path: "tmp", mode: 0o777 | os.ModeSticky}, {path: "run", mode: 0o755}, {path: "var", mode: 0o755},
	{path: "var/tmp", mode: 0o777 | os.ModeSticky}, {path: "workspace", mode: 0o755},
}

// bareFiles are those that programs can hardly do without: who they are, and
// where they are.
var bareFiles = map[string]string{ //nolint:gosec // no password is in it
	"passwd":      "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
	"group":       "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
	"hosts":       etcOwn["hosts"],
	"hostname":    etcOwn["hostname"],
	"resolv.conf": etcOwn["resolv.conf"],
}

func (b builder) bareSkeleton() error {
	for _, d := range bareDirs {
		if err := b.mkdir(rootTree+"/"+d.path, d.mode); err != nil {
			return err
		}
	}
	for name, content := range bareFiles {
		if err := os.WriteFile(filepath.Join(b.dir, rootTree, "etc", name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// HostBase names the system whose programs sandboxes have that are not bare,
// as far as what was built on it needs it to be the same.
func HostBase() string {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	var id, version string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		switch value = strings.Trim(value, `"'`); key {
		case "ID":
			id = value
		case "VERSION_ID":
			version = value
		}
	}
	return strings.TrimSpace(id + " " + version)
}

// baseAge is how long a base layer stays that this host no longer makes:
// another program, which sees the host otherwise, may be about to use it.
const baseAge = time.Hour

// stillUsed notes that a base layer is about to be used.
func stillUsed(layer string, info fs.FileInfo) {
	if time.Since(info.ModTime()) > baseAge/2 {
		now := time.Now()
		_ = os.Chtimes(layer, now, now) // at worst it is made again
	}
}

// RemoveOldBases removes the base layers of a state directory that nobody uses
// and that are not this host's any more. used reports whether somebody does,
// by the directory's name.
func RemoveOldBases(stateDir string, used func(name string) bool) error {
	ids, err := currentMap()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	current := map[string]bool{baseName(ids, false): true, baseName(ids, true): true}
	var errs []error
	for _, e := range entries {
		name := e.Name()
		temp := strings.HasPrefix(name, ".base-")
		if !temp && !strings.HasPrefix(name, basePrefix) || current[name] || used(name) {
			continue
		}
		if info, err := e.Info(); err != nil || time.Since(info.ModTime()) < baseAge {
			continue
		}
		errs = append(errs, tree.RemovePath(stateDir, name))
	}
	return errors.Join(errs...)
}

// UsedBase returns the name of the base layer that the sandbox of a directory
// was started on; empty if that is not known.
func UsedBase(dir string) string {
	r, err := readRecord(dir)
	if err != nil {
		return ""
	}
	return r.Base
}
