package shell

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

func duTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("shkbacd:", "summarize=s human-readable=h bytes=b all=a max-depth=d total=c")
	if !ok {
		return 1
	}
	names := f.args
	if len(names) == 0 {
		names = []string{"."}
	}
	code, sum, depth := 0, int64(0), 1<<30
	if f.has('d') {
		if depth, ok = p.count("maximum depth", f.value('d')); !ok {
			return 1
		}
	}
	if f.has('s') {
		depth = 0
	}
	for _, n := range names {
		fi, err := p.FS.Lstat(p.Path(n))
		if err != nil {
			code = p.errorf("cannot access '%s': %s", n, because(err))
			continue
		}
		sum += p.usage(n, fi, &f, depth, true)
	}
	if f.has('c') {
		p.write(usageSize(sum, &f) + "\ttotal\n")
	}
	return code
}

func (p *Proc) usage(name string, fi fs.FileInfo, f *flags, depth int, named bool) int64 {
	sum := blocks(fi) * 1024
	if f.has('b') {
		if sum = fi.Size(); fi.IsDir() {
			sum = 4096
		}
	}
	if fi.IsDir() {
		list, _ := p.FS.ReadDir(p.Path(name))
		for _, e := range list {
			if sub, err := e.Info(); err == nil {
				sum += p.usage(path.Join(name, "/"+e.Name()), sub, f, depth-1, false)
			}
		}
	}
	if named || depth >= 0 && (fi.IsDir() || f.has('a')) {
		p.write(usageSize(sum, f) + "\t" + name + "\n")
	}
	return sum
}

func usageSize(n int64, f *flags) string {
	switch {
	case f.has('h'):
		return humanSize(n)
	case f.has('b'):
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt((n+1023)/1024, 10)
}

func dfTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("hkP!T", "human-readable=h print-type=T")
	if !ok {
		return 1
	}
	disks, code := p.disks(f.args)
	if len(disks) == 0 {
		return code
	}
	head := "1K-blocks"
	if f.has('h') {
		head = "Size"
	}
	w := p.out()
	fmt.Fprintf(w, "Filesystem     %9s %9s %9s Use%% Mounted on\n", head, "Used", "Available")
	for _, d := range disks {
		w.WriteString(diskLine(d, f.has('h')))
	}
	return p.done(w, code)
}

// disks are those with the files, or all.
func (p *Proc) disks(names []string) (list []memfs.Disk, code int) {
	if len(names) == 0 {
		return p.FS.Disks(), 0
	}
	for _, n := range names {
		d, err := p.FS.Disk(p.Path(n))
		if err != nil {
			code = p.fail(n, err)
			continue
		}
		list = append(list, d)
	}
	return list, code
}

func diskLine(d memfs.Disk, human bool) string {
	limit := d.Limit
	if limit == 0 {
		limit = max(1<<40, d.Used)
	}
	show := func(n int64) string { return strconv.FormatInt(n/1024, 10) }
	if human {
		show = humanSize
	}
	return fmt.Sprintf("memfs          %9s %9s %9s %3d%% %s\n", show(limit), show(d.Used), show(limit-d.Used), d.Used*100/limit, d.Path)
}
