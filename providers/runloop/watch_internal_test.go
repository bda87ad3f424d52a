package runloop

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// A devbox may send what has no end.
func TestWatchedTreeWithoutEnd(t *testing.T) {
	w := &watcher{ctx: t.Context(), states: make(chan map[string]string)}
	piece := bytes.Repeat([]byte("A"), 1<<20)
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		_, err = w.Write(piece)
	}
	require.ErrorIs(t, err, compute.ErrTruncated)
	require.Equal(t, maxTree>>20, n-1)
}
