package runloop

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// listScript prints a line for each command that is kept, or for the one whose
// execution is $x: its ID, its execution, how it ended and when, and its record.
const listScript = `for d in ` + stateDir + `/*; do
[ -s $d/c ] && [ -s $d/l ] || continue
read -r l <$d/l
[ -z "$x" ] || [ "$x" = "$l" ] || continue
read -r c <$d/c
r="- -"; [ -s $d/r ] && read -r r <$d/r
echo "${d##*/} $l $r $c"
done
exit 0
`

// listed is a process as the devbox lists it.
type listed struct {
	p    *Process
	info *compute.ProcessInfo
}

// processes asks for the processes of the devbox, the newest first, or for one
// by the ID of its execution.
func (s *Sandbox) processes(ctx context.Context, op, id string) ([]listed, error) {
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	said, err := s.script(ctx, "x="+providers.Quote(id)+"\n"+listScript)
	if err != nil {
		return nil, s.wrap(ctx, op, err)
	}
	var all []listed
	for line := range strings.Lines(said) {
		one, err := s.parse(strings.Fields(line))
		if err != nil {
			return nil, failf(op, s.id, compute.ErrUnavailable, "what the devbox keeps of its processes cannot be read: %w", err)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b listed) int { return strings.Compare(b.p.mark, a.p.mark) })
	return all, nil
}

func (s *Sandbox) parse(fields []string) (listed, error) {
	if len(fields) != 5 {
		return listed{}, fmt.Errorf("%d fields", len(fields))
	}
	p := &Process{s: s, mark: fields[0], id: fields[1]}
	began, ok := idTime(p.mark)
	if !ok {
		return listed{}, fmt.Errorf("%q is no ID", p.mark)
	}
	kept, err := base64.StdEncoding.DecodeString(fields[4])
	if err == nil {
		err = json.Unmarshal(kept, &p.record)
	}
	if err != nil {
		return listed{}, err
	}
	info := &compute.ProcessInfo{ID: p.id, Args: p.record.Args, Script: p.record.Script, Running: fields[2] == "-", Started: began}
	if !info.Running {
		if info.ExitCode, err = strconv.Atoi(fields[2]); err != nil {
			info.ExitCode = -1 // it did not come to run
		}
		sec, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			return listed{}, err
		}
		if info.Ended = time.Unix(sec, 0).UTC(); info.Ended.Before(began) {
			info.Ended = began // clocks differ, and this one counts seconds
		}
	}
	return listed{p, info}, nil
}

// GetProcess implements [compute.ProcessGetter].
func (s *Sandbox) GetProcess(ctx context.Context, id string) (compute.Process, error) {
	const op = "get process"
	if id == "" || strings.ContainsRune(id, 0) {
		return nil, gone(op, id)
	}
	found, err := s.processes(ctx, op, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, gone(op, id)
	}
	return found[0].p, nil
}

// ListProcesses implements [compute.ProcessLister]. Processes are remembered
// until the devbox ends or is suspended and its /tmp is cleared.
func (s *Sandbox) ListProcesses(ctx context.Context) iter.Seq2[*compute.ProcessInfo, error] {
	return func(yield func(*compute.ProcessInfo, error) bool) {
		all, err := s.processes(ctx, "list processes", "")
		if err != nil {
			yield(nil, err)
			return
		}
		for _, one := range all {
			if !yield(one.info, nil) {
				return
			}
		}
	}
}
