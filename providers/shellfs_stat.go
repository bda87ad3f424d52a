package providers

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *shellFS) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	out, err := s.call(ctx, "stat", name, `stat -L -c '%f %s %Y' -- "$1"`)
	if err != nil {
		return nil, err
	}
	info, err := parseStat(strings.TrimSpace(out), path.Base(name))
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info, nil
}

// readDirScript prints, for each batch of entries, their number and a line about
// each, and then their names, each ended by a NUL byte; a last batch of none
// says that the listing is complete. If an entry has gone since it was found,
// those of its batch are looked at one by one.
const readDirScript = `cd -P -- "$1" 2>/dev/null || { ls -d -- "$1/." >/dev/null; exit 1; }
[ -r . ] || no "Permission denied"
{ find . ! -name . -prune -exec sh -c '
st() { stat -c "%f %s %Y" -- "$@" 2>/dev/null; }
if m=$(st "$@"); then echo $#; printf "%s\n" "$m"; printf "%s\0" "$@"; exit; fi
for f do if m=$(st "$f"); then echo 1; printf "%s\n" "$m"; printf "%s\0" "$f"; fi; done
' sh {} + && echo 0; } | base64`

func (s *shellFS) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	out, err := s.call(ctx, "readdir", name, readDirScript)
	if err != nil {
		return nil, err
	}
	infos, err := parseDir(out)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return infos, nil
}

func parseDir(encoded string) ([]fs.FileInfo, error) {
	data, err := base64.StdEncoding.DecodeString(encoded) // which skips newlines
	if err != nil {
		return nil, err
	}
	var infos []fs.FileInfo
	for rest := string(data); ; {
		count, after, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 {
			return nil, errors.New("incomplete listing")
		}
		if n == 0 {
			return infos, nil
		}
		if infos, rest, err = parseBatch(infos, after, n); err != nil {
			return nil, err
		}
	}
}

func parseBatch(infos []fs.FileInfo, rest string, n int) ([]fs.FileInfo, string, error) {
	lines := strings.SplitN(rest, "\n", n+1)
	if len(lines) != n+1 {
		return nil, "", errors.New("incomplete listing")
	}
	rest = lines[n]
	for _, line := range lines[:n] {
		name, after, ok := strings.Cut(rest, "\x00")
		if !ok {
			return nil, "", errors.New("incomplete listing")
		}
		info, err := parseStat(line, strings.TrimPrefix(name, "./"))
		if err != nil {
			return nil, "", err
		}
		infos, rest = append(infos, info), after
	}
	return infos, rest, nil
}

// parseStat reads the mode in hexadecimal, the size, and the time in seconds.
func parseStat(line, name string) (*fileInfo, error) {
	var raw uint32
	var size, sec int64
	if _, err := fmt.Sscanf(line, "%x %d %d", &raw, &size, &sec); err != nil {
		return nil, fmt.Errorf("unexpected output %q of stat: %w", line, err)
	}
	return &fileInfo{name, size, fileMode(raw), time.Unix(sec, 0)}, nil
}

// Bits of Linux's st_mode.
var (
	modeTypes = map[uint32]fs.FileMode{
		0o100000: 0, 0o040000: fs.ModeDir, 0o120000: fs.ModeSymlink, 0o010000: fs.ModeNamedPipe,
		0o140000: fs.ModeSocket, 0o060000: fs.ModeDevice, 0o020000: fs.ModeDevice | fs.ModeCharDevice,
	}
	modeFlags = map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky}
)

func fileMode(raw uint32) fs.FileMode {
	kind, ok := modeTypes[raw&0o170000]
	if !ok {
		kind = fs.ModeIrregular
	}
	mode := fs.FileMode(raw&0o777) | kind
	for bit, flag := range modeFlags {
		if raw&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

type fileInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.size }
func (i *fileInfo) Mode() fs.FileMode  { return i.mode }
func (i *fileInfo) ModTime() time.Time { return i.modTime }
func (i *fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i *fileInfo) Sys() any           { return nil }
