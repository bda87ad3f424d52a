//go:build linux

package local_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// forking starts as many processes as it can and tells how many ran, with it. It
// waits for their end: until then they count.
const forking = `my @p; while (@p < 5000 and defined(my $p = fork)) { if (!$p) { sleep 60; exit } push @p, $p } print 1 + @p; kill 9, @p; 1 while wait > 0`

// tolerance is how many processes more than the limit may run: room that is kept
// for threads of init.
const tolerance = 4

// As many processes run as are allowed, and not many more, and the sandbox
// outlives who tries: where a cgroup sees to it, and where the kernel counts
// those of a user, with users in the sandbox and without.
func TestProcessesOfLimit(t *testing.T) {
	processesOfLimit(t, newLocal(t, t.TempDir(), local.Namespaces), false)
	if os.Geteuid() != 0 {
		return // that was one of the others
	}
	for _, program := range []string{"newuidmap", "unshare", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	for name, table := range map[string]string{"one user": "", "users": "65534:300000:65536\n"} {
		t.Run(name, func(t *testing.T) {
			dir, file := passable(t), filepath.Join(passable(t), "subids")
			require.NoError(t, os.Chown(dir, int(ordinary.Uid), int(ordinary.Gid)))
			require.NoError(t, os.WriteFile(file, []byte(table), 0o644))
			cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", withSubIDs, "sh", file,
				os.Args[0], "-test.run=^TestInsideProcessesOfLimit$", "-test.v")
			cmd.Env = append(os.Environ(), processesVariable+"="+name, "TMPDIR="+dir, "HOME="+dir)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			assert.Contains(t, string(out), "--- PASS: TestInsideProcessesOfLimit")
		})
	}
}

const processesVariable = "LOCAL_TEST_PROCESSES"

// TestInsideProcessesOfLimit is what an ordinary user does.
func TestInsideProcessesOfLimit(t *testing.T) {
	who, ok := os.LookupEnv(processesVariable)
	if !ok {
		t.Skip("TestProcessesOfLimit runs it")
	}
	processesOfLimit(t, newLocal(t, t.TempDir(), local.Namespaces), who == "users")
}

// processesOfLimit tries limits. With users and without a cgroup, what is less
// than init needs is kept only once a command runs.
func processesOfLimit(t *testing.T, c compute.Compute, users bool) {
	t.Helper()
	for _, n := range []int{10, 60, 1500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			sb := limited(t, c, compute.CreateSandboxOptions{}, local.Limits{Processes: n})
			most := n + tolerance
			if users {
				most = max(most, 48)
			}
			for range 3 {
				res, err := sb.RunCommand(t.Context(), compute.Exec("perl", "-e", forking))
				require.NoError(t, err)
				ran, err := strconv.Atoi(strings.TrimSpace(res.Stdout))
				require.NoError(t, err, "%+v", res)
				assert.GreaterOrEqual(t, ran, n)
				assert.LessOrEqual(t, ran, most)
			}
			assert.Equal(t, "alive\n", run(t, sb, "echo alive").Stdout)
		})
	}
}
