package shell

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

func (f *finder) primary(name string) (findTest, error) {
	switch name {
	case "-print", "-print0", "-delete", "-prune", "-quit", "-exec", "-ls", "-depth", "-empty", "-true", "-false", "-xdev", "-mount":
		return f.plain(name)
	}
	if len(f.args) == 0 {
		return nil, fmt.Errorf("missing argument to `%s'", name)
	}
	switch name {
	case "-name", "-iname", "-path", "-ipath", "-wholename", "-type", "-maxdepth", "-mindepth", "-size", "-newer", "-mtime", "-mmin", "-perm", "-user", "-regex":
		return f.valued(name, f.take())
	}
	return nil, fmt.Errorf("unknown predicate `%s'", name)
}

func (f *finder) plain(name string) (findTest, error) {
	switch name {
	case "-print":
		f.action = true
		return printName, nil
	case "-print0":
		f.action = true
		return func(f *finder, n string, _ fs.FileInfo) bool {
			f.w.WriteString(n + "\x00")
			return true
		}, nil
	case "-delete":
		f.action, f.depth = true, true
		return deleteFound, nil
	case "-prune":
		return func(f *finder, _ string, _ fs.FileInfo) bool { f.prune = true; return true }, nil
	case "-quit":
		f.action = true
		return func(f *finder, _ string, _ fs.FileInfo) bool { f.quit = true; return true }, nil
	case "-exec":
		return f.exec()
	case "-empty":
		return isEmpty, nil
	case "-depth":
		f.depth = true
	case "-xdev", "-mount":
		f.xdev = true
	case "-false":
		return func(*finder, string, fs.FileInfo) bool { return false }, nil
	case "-ls":
		return nil, errors.New("-ls: not supported")
	}
	return func(*finder, string, fs.FileInfo) bool { return true }, nil
}

func deleteFound(f *finder, name string, _ fs.FileInfo) bool {
	if name == "." {
		return true
	}
	if err := f.p.FS.Remove(f.p.Path(name)); err != nil {
		f.code = f.p.errorf("cannot delete '%s': %s", name, because(err))
		return false
	}
	return true
}

func isEmpty(f *finder, name string, fi fs.FileInfo) bool {
	if fi.IsDir() {
		list, err := f.p.FS.ReadDir(f.p.Path(name))
		return err == nil && len(list) == 0
	}
	return fi.Mode().IsRegular() && fi.Size() == 0
}

func (f *finder) exec() (findTest, error) {
	f.action = true
	var cmd []string
	for len(f.args) > 0 {
		a := f.take()
		if a == "+" && len(cmd) > 1 && cmd[len(cmd)-1] == "{}" {
			b := &findBatch{cmd: cmd[: len(cmd)-1 : len(cmd)-1]}
			f.batches = append(f.batches, b)
			return func(_ *finder, n string, _ fs.FileInfo) bool { b.names = append(b.names, n); return true }, nil
		}
		if a == ";" && len(cmd) > 0 {
			return func(f *finder, n string, _ fs.FileInfo) bool { return f.runOne(cmd, n) }, nil
		}
		cmd = append(cmd, a)
	}
	return nil, errors.New("missing argument to `-exec'")
}

func (f *finder) runOne(cmd []string, name string) bool {
	f.w.Flush()
	args := make([]string, len(cmd))
	for i, c := range cmd {
		args[i] = strings.ReplaceAll(c, "{}", name)
	}
	return f.p.Sub(f.ctx, args...) == 0
}

func (f *finder) valued(name, v string) (findTest, error) {
	switch name {
	case "-name", "-iname", "-path", "-ipath", "-wholename":
		return namePattern(name, v), nil
	case "-maxdepth", "-mindepth":
		n, err := strconv.Atoi(v)
		if err != nil {
			return nil, fmt.Errorf("expected a positive decimal integer argument to %s, but got `%s'", name, v)
		}
		if f.min = n; name == "-maxdepth" {
			f.min, f.max = 0, n
		}
		return func(*finder, string, fs.FileInfo) bool { return true }, nil
	case "-type":
		if strings.Trim(v, "fdlcbps,") != "" {
			return nil, fmt.Errorf("unknown argument to -type: %s", v)
		}
		return func(_ *finder, _ string, fi fs.FileInfo) bool { return strings.IndexByte(v, typeLetter(fi)) >= 0 }, nil
	case "-newer":
		ref, err := f.p.FS.Stat(f.p.Path(v))
		if err != nil {
			return nil, fmt.Errorf("'%s': %s", v, because(err))
		}
		return func(_ *finder, _ string, fi fs.FileInfo) bool { return fi.ModTime().After(ref.ModTime()) }, nil
	case "-user":
		return func(f *finder, _ string, _ fs.FileInfo) bool { return v == f.p.user() }, nil
	case "-regex":
		re, err := compile(v, false, false)
		if err != nil {
			return nil, err
		}
		return func(_ *finder, n string, _ fs.FileInfo) bool { return re.FindString(n) == n }, nil
	}
	return f.measured(name, v)
}

func namePattern(kind, pat string) findTest {
	fold := strings.HasPrefix(kind, "-i")
	if fold {
		pat = strings.ToLower(pat)
	}
	return func(_ *finder, n string, _ fs.FileInfo) bool {
		if strings.HasSuffix(kind, "name") && kind != "-wholename" {
			n = path.Base(n)
		}
		if fold {
			n = strings.ToLower(n)
		}
		return globMatch(pat, n)
	}
}

func typeLetter(fi fs.FileInfo) byte {
	switch m := fi.Mode(); {
	case m.IsDir():
		return 'd'
	case m&fs.ModeSymlink != 0:
		return 'l'
	case m&fs.ModeCharDevice != 0:
		return 'c'
	}
	return 'f'
}

// measured are the tests with +N, -N and N.
func (f *finder) measured(name, v string) (findTest, error) {
	if name == "-perm" {
		return permTest(v)
	}
	bad := fmt.Errorf("invalid argument `%s' to `%s'", v, name)
	sign := byte(0)
	if v != "" && (v[0] == '+' || v[0] == '-') {
		sign, v = v[0], v[1:]
	}
	unit := int64(512)
	if i := strings.IndexByte("cwbkMG", lastByte(v)); name == "-size" && i >= 0 {
		unit = []int64{1, 2, 512, 1 << 10, 1 << 20, 1 << 30}[i]
		v = v[:len(v)-1]
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return nil, bad
	}
	now := f.p.Sys.now(f.p.FS)
	return func(_ *finder, _ string, fi fs.FileInfo) bool {
		got := (fi.Size() + unit - 1) / unit
		switch name {
		case "-mtime":
			got = int64(now.Sub(fi.ModTime()) / (24 * time.Hour))
		case "-mmin":
			got = int64((now.Sub(fi.ModTime()) + time.Minute - 1) / time.Minute)
		}
		switch sign {
		case '+':
			return got > n
		case '-':
			return got < n
		}
		return got == n
	}, nil
}

func permTest(v string) (findTest, error) {
	kind := byte(0)
	if v != "" && (v[0] == '-' || v[0] == '/') {
		kind, v = v[0], v[1:]
	}
	m, err := parseMode(v, 0, 0, false)
	if err != nil {
		return nil, fmt.Errorf("invalid mode `%s'", v)
	}
	want := toBits(m)
	return func(_ *finder, _ string, fi fs.FileInfo) bool {
		got := toBits(fi.Mode())
		switch kind {
		case '-':
			return got&want == want
		case '/':
			return got&want != 0 || want == 0
		}
		return got == want
	}, nil
}
