package computetest

import (
	"hash/crc32"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// writerLags: a writer that was there from the start gets every byte, however
// long it takes, and however much that is: more than a provider keeps.
func writerLags(t *tester) {
	t.needShell()
	const times = 12
	data := everyByte(1<<20 + 1)
	sb, lag, sum, size := t.sandbox(nil), t.slow(quiet), crc32.NewIEEE(), 0
	t.write(sb, "data", data)
	cmd := compute.Shell("cat" + strings.Repeat(" data", times) + "; echo end >&2")
	errs := &buffer{}
	cmd.Stderr = errs
	cmd.Stdout = writerFunc(func(p []byte) (int, error) {
		if size == 0 {
			time.Sleep(lag) // the command is ahead by as much as it can be
		}
		size += len(p)
		return sum.Write(p)
	})
	res := t.wait(t.start(sb, cmd))
	require.Equal(t, times*len(data), size, "bytes of a writer that lags")
	assert.Equal(t, crc32.ChecksumIEEE([]byte(strings.Repeat(data, times))), sum.Sum32(), "what a writer that lags has got")
	assert.Equal(t, "end\n", errs.String())
	assert.False(t, res.Truncated, "nothing was dropped")
}
