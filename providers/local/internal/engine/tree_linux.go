package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/guest"
	"github.com/computekit/compute/providers/local/internal/tree"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// UnpackImage unpacks an archive as images are made of into a new layer for
// bare roots. If it fails, or ctx ends, the layer is not there; a Read of r
// that blocks is the caller's to end.
func UnpackImage(ctx context.Context, r io.Reader, layer string) error {
	return makeLayer(layer, func(ids idMap) error {
		root := filepath.Join(layer, rootTree)
		if err := makeOwned(root, ids); err != nil {
			return err
		}
		return treeJob{op: guest.TreeUnpackImage, dirs: []string{root}, in: r}.run(ctx, ids)
	})
}

// UnpackLayers unpacks what PackLayers has written into a new directory, and
// returns the layers that are in it, lowest first. It checks that there is
// nothing else.
func UnpackLayers(ctx context.Context, r io.Reader, dir string) (layers []string, err error) {
	err = makeLayer(dir, func(ids idMap) error {
		job := treeJob{op: guest.TreeUnpack, dirs: []string{dir}, in: r}
		if err := job.run(ctx, ids); err != nil {
			return err
		}
		layers, err = layersIn(dir)
		return err
	})
	return layers, err
}

// layersIn checks what an archive has brought.
func layersIn(dir string) ([]string, error) {
	if err := os.Remove(filepath.Join(dir, CompleteName)); err != nil {
		return nil, errors.New("the archive is not complete")
	}
	top, err := os.ReadDir(dir)
	if err != nil || len(top) == 0 {
		return nil, err
	}
	if len(top) > 1 || top[0].Name() != guest.LayersName {
		return nil, errors.New("the archive has more than layers in it")
	}
	entries, err := openedDir(filepath.Join(dir, guest.LayersName))
	if err != nil {
		return nil, err
	}
	var layers []string
	for i, e := range entries {
		layer := filepath.Join(dir, guest.LayerName(i))
		if !e.IsDir() || e.Name() != filepath.Base(layer) {
			return nil, errors.New("the archive's layers are not in order")
		}
		if err := checkLayer(layer); err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// checkLayer makes sure that a layer holds trees and nothing else, and that
// the sandbox's root can enter them.
func checkLayer(layer string) error {
	entries, err := openedDir(layer)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !isTree(e.Name()) {
			return fmt.Errorf("the archive's layers have something that belongs into none: %q", e.Name())
		}
		if err := os.Chmod(filepath.Join(layer, e.Name()), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// openedDir lists a directory, and gives it the mode that those of layers have.
func openedDir(dir string) ([]os.DirEntry, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("the archive has something else where a directory should be")
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return os.ReadDir(dir)
}

func isTree(name string) bool {
	for _, t := range append([]string{rootTree, "usr"}, topLevel...) {
		if t == name {
			return true
		}
	}
	return false
}

// PackLayers writes layers to w as entries of an archive that goes on: its end
// is the caller's to write.
func PackLayers(ctx context.Context, w io.Writer, layers []string) error {
	ids, err := currentMap()
	if err != nil {
		return err
	}
	return treeJob{op: guest.TreePack, dirs: layers, out: w}.run(ctx, ids)
}

// MergeLayers makes a new layer that shows what a stack of layers does, lowest
// first, over what is below. If it fails, or ctx ends, the layer is not there.
func MergeLayers(ctx context.Context, below Below, layers []string, layer string) error {
	return makeLayer(layer, func(ids idMap) error {
		job := treeJob{op: guest.TreeMerge, dirs: append([]string{layer}, layers...)}
		return job.over(ctx, below, ids)
	})
}

// FoldLayers moves what is in layers, lowest first, into the lowest of all,
// which then shows what the stack of all did. Nobody else may use any of them.
// Cut short at any moment, the stack still shows the same.
func FoldLayers(ctx context.Context, below Below, lowest string, layers []string) error {
	ids, err := currentMap()
	if err != nil {
		return err
	}
	job := treeJob{op: guest.TreeFold, dirs: append([]string{lowest}, layers...)}
	return job.over(ctx, below, ids)
}

// over runs a job that needs to know what is below.
func (j treeJob) over(ctx context.Context, below Below, ids idMap) error {
	b, err := ensureBase(below.StateDir, ids, below.Bare)
	if err != nil {
		return err
	}
	for _, layer := range slices.Backward(below.Layers) {
		j.below = append(j.below, wire.Tree{Host: layer})
	}
	j.below = append(j.below, wire.Tree{Host: b.layer})
	for _, t := range b.trees {
		if t.Host != "" {
			j.below = append(j.below, wire.Tree{Name: t.Name, Host: t.Host})
		}
	}
	return j.run(ctx, ids)
}

// PackDir writes a directory of the host as an archive for UnpackImage, with
// the rights of this program.
func PackDir(ctx context.Context, w io.Writer, dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	p := tree.NewPacker(untilDone{ctx, w})
	if err := p.Pack(int(d.Fd()), "."); err != nil {
		return err
	}
	return p.Close()
}

// HashDir returns a hash that changes when anything in a directory does, as
// far as names, sizes, owners, modes and times tell.
func HashDir(ctx context.Context, dir string) (string, error) { return tree.Hash(ctx, dir) }

// untilDone fails to write when the context has ended.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

func (u untilDone) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.w.Write(p)
}

// makeLayer makes a directory that belongs to the sandboxes' root and has fill
// fill it, or leaves nothing.
func makeLayer(dir string, fill func(idMap) error) error {
	ids, err := currentMap()
	if err != nil {
		return err
	}
	if err := makeOwned(dir, ids); err != nil {
		return err
	}
	if err := fill(ids); err != nil {
		return errors.Join(err, RemoveLayer(dir))
	}
	return nil
}

func makeOwned(dir string, ids idMap) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		return err
	}
	return errors.Join(ids.give(dir), ids.mark(dir))
}

// A treeJob is work on trees in a user namespace like the sandboxes': there a
// process may do with their files what they may, and on the host no more.
type treeJob struct {
	op    string
	dirs  []string
	below []wire.Tree // directories to be looked at; those of layers have no name
	in    io.Reader   // an archive, or nil
	out   io.Writer
}

func (j treeJob) run(ctx context.Context, ids idMap) error {
	program, err := self()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	files := []*os.File{null, null, null}
	defer func() { closeAll(files) }()
	for _, dir := range j.dirs {
		d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		files = append(files, d)
	}
	args := []string{guest.TreeName, j.op, strconv.Itoa(len(j.dirs))}
	for _, t := range j.below {
		d, err := os.OpenFile(t.Host, os.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		files, args = append(files, d), append(args, t.Name)
	}
	gate, release, err := os.Pipe() // which ends when the process has its IDs
	if err != nil {
		return err
	}
	defer release.Close()
	files = append(files, gate)
	var ours [3]*os.File
	defer func() { closeAll(ours[:]) }()
	for n, wanted := range []bool{j.in != nil, j.out != nil, true} {
		if !wanted {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		if n == 0 {
			files[n], ours[n] = r, w
		} else {
			files[n], ours[n] = w, r
		}
	}
	p, err := os.StartProcess(program, args,
		&os.ProcAttr{Dir: "/", Env: []string{}, Files: files, Sys: ids.attributes(0)})
	closeAll(files)
	_ = null.Close()
	files = nil
	if err != nil {
		return explainClone(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() })
	defer stop()
	if err := ids.apply(p.Pid); err != nil {
		_ = p.Kill()
		_, _ = p.Wait()
		return err
	}
	_ = release.Close()
	return j.attend(ctx, p, ours)
}

// attend serves the archive of a process and waits for its end.
func (j treeJob) attend(ctx context.Context, p *os.Process, ours [3]*os.File) error {
	var own error // of the caller's reader or writer
	if j.in != nil {
		src := &recorder{r: j.in}
		_, _ = io.Copy(ours[0], src)
		own = src.err
		_ = ours[0].Close()
	}
	if j.out != nil {
		dst := &recorder{w: j.out}
		_, _ = io.Copy(dst, ours[1])
		own = dst.err
	}
	if own != nil {
		_ = p.Kill()
	}
	var text strings.Builder
	_, _ = io.Copy(&text, io.LimitReader(ours[2], 16<<10))
	_ = ours[2].Close()
	state, err := p.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case cmp.Or(own, err) != nil:
		return cmp.Or(own, err)
	case !state.Success():
		return fmt.Errorf("%s (%v)", cmp.Or(text.String(), "the process that works on the files failed"), state)
	}
	return nil
}

// A recorder remembers the error of a reader or writer, to tell it from one of
// the pipe's.
type recorder struct {
	r   io.Reader
	w   io.Writer
	err error
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != io.EOF {
		r.err = err
	}
	return n, err
}

func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	r.err = err
	return n, err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
