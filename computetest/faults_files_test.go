package computetest

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
)

var fileMutants = []mutant{
	{"makes files valid text", &faults{read: func(ctx context.Context, f compute.Filesystem, name string) ([]byte, error) {
		data, err := f.ReadFile(ctx, name)
		return []byte(strings.ToValidUTF8(string(data), "\uFFFD")), err
	}}, "BytesAreBytes/FilesOfEveryByte"},
	{"ends files with a line", &faults{write: func(ctx context.Context, f compute.Filesystem, name string, data []byte, perm fs.FileMode) error {
		if len(data) > 0 && data[len(data)-1] != '\n' {
			data = append(slices.Clip(data), '\n')
		}
		return f.WriteFile(ctx, name, data, perm)
	}}, "BytesAreBytes/FilesOfEverySize"},
	{"cannot write much", &faults{write: func(ctx context.Context, f compute.Filesystem, name string, data []byte, perm fs.FileMode) error {
		if len(data) > 128<<10 {
			return &fs.PathError{Op: "write", Path: name, Err: errors.New("argument list too long")}
		}
		return f.WriteFile(ctx, name, data, perm)
	}}, "BytesAreBytes/FilesOfEverySize"},
	{"quotes file names badly", renaming(func(name string) string { return strings.ReplaceAll(name, "'", "") }), "NamesAreHostile/Files"},
	{"cuts file names at a line's end", renaming(func(name string) string { return strings.ReplaceAll(name, "\n", `\n`) }), "NamesAreHostile/Files"},
	{"trims file names", renaming(func(name string) string { return strings.TrimRight(name, " ") }), "NamesAreHostile/Files"},
	{"takes dashes for options", renaming(func(name string) string { return strings.TrimPrefix(name, "-") }), "NamesAreHostile/Directories"},
	{"drops permissions", &faults{write: func(ctx context.Context, f compute.Filesystem, name string, data []byte, _ fs.FileMode) error {
		return f.WriteFile(ctx, name, data, 0o644)
	}}, "UnitsAreGos/FileModes UnitsAreGos/Umask"},
	{"loses the old file", &faults{write: func(ctx context.Context, f compute.Filesystem, name string, data []byte, perm fs.FileMode) error {
		if ctx.Err() != nil {
			return f.WriteFile(ctx, name, data, perm)
		}
		if dir, _, below := strings.Cut(name, "/"); below && dir == "f" {
			_ = f.RemoveAll(ctx, dir)
		}
		return f.WriteFile(ctx, name, data, perm)
	}}, "Files/FailedWriteKeepsOldFile"},
	{"writes under a dead context", &faults{write: func(ctx context.Context, f compute.Filesystem, name string, data []byte, perm fs.FileMode) error {
		return f.WriteFile(context.WithoutCancel(ctx), name, data, perm)
	}}, "TheContextIsTheOnlyTimeout/DeadContextTouchesNoFile"},
	{"writes in pieces", &faults{write: func(ctx context.Context, f compute.Filesystem, name string, data []byte, perm fs.FileMode) error {
		if err := f.WriteFile(ctx, name, data[:len(data)/2], perm); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
		return f.WriteFile(ctx, name, data, perm)
	}}, "SafeForConcurrentUse/OneFile"},
	{"lists directories in any order", &faults{readDir: func(ctx context.Context, f compute.Filesystem, name string) ([]fs.FileInfo, error) {
		infos, err := f.ReadDir(ctx, name)
		slices.Reverse(infos)
		return infos, err
	}}, "Files/ReadDirIsSorted NamesAreHostile/Files"},
	{"hides files", &faults{readDir: func(ctx context.Context, f compute.Filesystem, name string) ([]fs.FileInfo, error) {
		infos, err := f.ReadDir(ctx, name)
		return slices.DeleteFunc(infos, func(i fs.FileInfo) bool { return strings.HasPrefix(i.Name(), ".") }), err
	}}, "Files/ReadDirIsSorted"},
	{"lists nothing where there is no directory", &faults{readDir: func(ctx context.Context, f compute.Filesystem, name string) ([]fs.FileInfo, error) {
		infos, err := f.ReadDir(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return infos, err
	}}, "ErrorsAreTyped/FileErrors"},
	{"calls missing files not found", &faults{read: func(ctx context.Context, f compute.Filesystem, name string) ([]byte, error) {
		data, err := f.ReadFile(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			err = &compute.Error{Op: "read file", Kind: compute.ErrNotFound}
		}
		return data, err
	}}, "ErrorsAreTyped/FileErrors"},
	{"says that a file of no sandbox does not exist", &faults{stat: func(ctx context.Context, f compute.Filesystem, name string) (fs.FileInfo, error) {
		info, err := f.Stat(ctx, name)
		if errors.Is(err, compute.ErrNotFound) {
			err = &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
		}
		return info, err
	}}, "ErrorsAreTyped/DestroyedSandboxFiles"},
	{"says that nothing exists when it cannot ask", &faults{stat: func(ctx context.Context, f compute.Filesystem, name string) (fs.FileInfo, error) {
		info, err := f.Stat(ctx, name)
		if err != nil {
			err = &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
		}
		return info, err
	}}, "TheContextIsTheOnlyTimeout/DeadContextTouchesNoFile ErrorsAreTyped/DestroyedSandboxFiles"},
	{"cannot make a directory twice", &faults{mkdir: func(ctx context.Context, f compute.Filesystem, name string, perm fs.FileMode) error {
		if _, err := f.Stat(ctx, name); err == nil {
			return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
		}
		return f.MkdirAll(ctx, name, perm)
	}}, "Files/MkdirAllIsIdempotent"},
	{"removes through links", &faults{remove: removeThrough}, "Links/AreRemovedNotFollowed"},
	{"removes by prefix", &faults{remove: func(ctx context.Context, f compute.Filesystem, name string) error {
		if infos, err := f.ReadDir(ctx, "."); err == nil {
			for _, info := range infos {
				if name != "" && strings.HasPrefix(info.Name(), name) {
					_ = f.RemoveAll(ctx, info.Name())
				}
			}
		}
		return f.RemoveAll(ctx, name)
	}}, "Files/RemoveAllIsIdempotent"},
	{"cannot remove twice", &faults{remove: func(ctx context.Context, f compute.Filesystem, name string) error {
		if infos, err := f.ReadDir(ctx, name); err != nil {
			return err
		} else if len(infos) == 0 {
			return f.RemoveAll(ctx, name)
		}
		return f.RemoveAll(ctx, name)
	}}, "Files/RemoveAllIsIdempotent"},
	{"lets the root be removed", &faults{remove: func(ctx context.Context, f compute.Filesystem, name string) error {
		if err := f.RemoveAll(ctx, name); err != nil && name == "/" {
			return nil
		}
		return f.RemoveAll(ctx, name)
	}}, "Files/RemoveAllRefuses"},
	{"lets the working directory be emptied", &faults{remove: func(ctx context.Context, f compute.Filesystem, name string) error {
		err := f.RemoveAll(ctx, name)
		if err != nil && strings.HasPrefix(name, ".") {
			infos, _ := f.ReadDir(ctx, ".")
			for _, info := range infos {
				_ = f.RemoveAll(ctx, info.Name())
			}
		}
		return err
	}}, "Files/RemoveAllRefuses"},
}

// renaming uses other names for files than it was given.
func renaming(other func(string) string) *faults {
	return &faults{
		read: func(ctx context.Context, f compute.Filesystem, name string) ([]byte, error) {
			return f.ReadFile(ctx, other(name))
		},
		write: func(ctx context.Context, f compute.Filesystem, name string, data []byte, perm fs.FileMode) error {
			return f.WriteFile(ctx, other(name), data, perm)
		},
		mkdir: func(ctx context.Context, f compute.Filesystem, name string, perm fs.FileMode) error {
			return f.MkdirAll(ctx, other(name), perm)
		},
	}
}

func removeThrough(ctx context.Context, f compute.Filesystem, name string) error {
	if infos, err := f.ReadDir(ctx, name); err == nil && strings.HasPrefix(name, "t") {
		for _, info := range infos {
			_ = f.RemoveAll(ctx, name+"/"+info.Name())
		}
	}
	return f.RemoveAll(ctx, name)
}
