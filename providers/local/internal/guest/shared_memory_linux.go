package guest

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sharedMemory is what processes have in memory that is no process's alone and
// has no name: shared mappings without a file, files of memfd_create, mapped or
// not, and System V segments. Each is counted once, with a process that has it.
// What is in /dev/shm is not among it.
func sharedMemory(pids []int) map[int]int64 {
	use := map[int]int64{}
	files := map[string]bool{} // by number
	for _, pid := range pids {
		use[pid] += memoryFiles(pid, files)
	}
	for _, pid := range pids {
		if mapsShared(pid) {
			use[pid] += sharedMappings(pid, files)
		}
	}
	return use
}

// memfd is how the names of files of memfd_create begin.
const memfd = "/memfd:"

// memoryFiles is the size of those files that a process has open and that are
// not counted yet.
func memoryFiles(pid int, counted map[string]bool) (size int64) {
	path := "/proc/" + strconv.Itoa(pid) + "/fd"
	dir, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer dir.Close()
	for {
		names, _ := dir.Readdirnames(500)
		if len(names) == 0 {
			return size
		}
		for _, name := range names {
			file := path + "/" + name
			if to, err := os.Readlink(file); err != nil || !strings.HasPrefix(to, memfd) {
				continue
			}
			var st unix.Stat_t
			ino := ""
			if unix.Stat(file, &st) == nil {
				ino = strconv.FormatUint(st.Ino, 10)
			}
			if ino != "" && !counted[ino] {
				counted[ino] = true
				size += st.Blocks * 512
			}
		}
	}
}

// mapsShared reports whether a process uses any shared memory, which spares
// looking at each of its mappings.
func mapsShared(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	_, after, ok := bytes.Cut(data, []byte("\nRssShmem:"))
	fields := bytes.Fields(after[:min(len(after), 64)])
	return !ok || len(fields) > 0 && string(fields[0]) != "0"
}

// sharedMappings is a process's part of the shared memory that it maps.
func sharedMappings(pid int, counted map[string]bool) (size int64) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/smaps")
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	counts := false
	for lines.Scan() {
		line := lines.Text()
		if value, ok := strings.CutPrefix(line, "Pss:"); ok && counts {
			size += kibibytes(value)
		}
		if value, ok := strings.CutPrefix(line, "Anonymous:"); ok && counts {
			size -= kibibytes(value) // it is the process's own
		}
		// address, rights, offset, device, number, and the rest is the name
		const number, name = 4, 5
		if head := strings.Fields(line); len(head) > number && strings.Contains(head[0], "-") {
			counts = len(head) > name && unnamed(head[name]) && !counted[head[number]]
		}
	}
	return size
}

func kibibytes(value string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
	return n << 10
}

// unnamed reports whether a mapping is of memory that is in no directory, by what
// the kernel calls it.
func unnamed(name string) bool {
	return name == "/dev/zero" || strings.HasPrefix(name, memfd) || strings.HasPrefix(name, "/SYSV")
}
