//go:build unix

package local

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is made of a mode is what chmod makes of it.
func TestFileMode(t *testing.T) {
	specs := []string{"755", "0640", "4755", "+x", "a+x", "+w", "=r", "u=rwX,go=rX", "go-w", "g=u", "o=g", "u+s,g+s", "+t", "a=", "u=rw,g=r,o=", "go-rwx+r", "a+X", "ug=rwx,o-r"}
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-ec", `umask 022; touch f; mkdir d
		for spec; do for was in 600 666 751 124; do for name in f d; do
			chmod $was $name; chmod -- $spec $name; stat -c "$spec $was $name %a" $name; chmod a=,u=rw $name; chmod u-s,g-s $name
		done done done`, "sh"}, specs...)...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Len(t, lines, len(specs)*8)
	for _, line := range lines {
		var spec, name string
		var was, want int64
		_, err := fmt.Sscanf(line, "%s %o %s %o", &spec, &was, &name, &want)
		require.NoError(t, err, line)
		m, err := parseFileMode(spec)
		require.NoError(t, err, spec)
		assert.Equal(t, want, m.of(was, name == "d"), line)
	}
	for _, spec := range []string{"", "999", "77777", "x", "u", "u+q", "u=rg", "a+x,", "7a"} {
		_, err := parseFileMode(spec)
		assert.Error(t, err, spec)
	}
	assert.Equal(t, int64(0o640), modeOfSource.of(0o640, false))
}
