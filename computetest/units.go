package computetest

import (
	"io/fs"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var goUnits = group{"UnitsAreGos", []check{
	{"Created", createdNow},
	{"Lifetime", lifetime},
	{"FileModes", fileModes},
	{"FileTimes", fileTimes},
	{"Umask", noUmask},
}}

// clocks of machines differ.
const clocks = time.Minute

func createdNow(t *tester) {
	created := t.info(t.sandbox(nil)).Created
	assert.WithinDuration(t, time.Now(), created, t.slow(clocks), "Info.Created")
}

// lifetime tries units that milliseconds, seconds and minutes cannot be mixed
// up in.
func lifetime(t *tester) {
	for _, d := range []time.Duration{10 * time.Minute, 2 * time.Hour} {
		sb, err := t.create(t.ctx(), &compute.CreateSandboxOptions{Lifetime: d})
		if t.lacks(err) {
			t.Skip("no lifetimes")
		}
		require.NoError(t, err, "CreateSandbox")
		assert.WithinDuration(t, time.Now().Add(d), t.info(sb).Expires, t.slow(clocks), "Info.Expires")
		require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	}
}

func fileModes(t *tester) {
	sb := t.sandbox(nil)
	for _, perm := range []fs.FileMode{0o644, 0o600, 0o755, 0o400, 0o640, 0o777} {
		name := perm.String()
		require.NoError(t, sb.Filesystem().WriteFile(t.ctx(), name, nil, perm), "WriteFile")
		assert.Equal(t, perm, t.stat(sb, name).Mode())
	}
	t.mkdir(sb, "d")
	assert.Equal(t, fs.ModeDir|0o755, t.stat(sb, "d").Mode())
	assert.True(t, t.stat(sb, "d").IsDir())
}

func fileTimes(t *tester) {
	sb := t.sandbox(nil)
	t.write(sb, "f", "")
	assert.WithinDuration(t, time.Now(), t.stat(sb, "f").ModTime(), t.slow(clocks))
}

// noUmask: the file has the permissions that were asked for, also where an old
// one had others, and a script sees them.
func noUmask(t *tester) {
	sb := t.sandbox(nil)
	for _, perm := range []fs.FileMode{0o600, 0o666} {
		require.NoError(t, sb.Filesystem().WriteFile(t.ctx(), "f", nil, perm), "WriteFile")
		assert.Equal(t, perm, t.stat(sb, "f").Mode().Perm())
	}
	script := "#!/bin/sh\necho ran\n"
	require.NoError(t, sb.Filesystem().WriteFile(t.ctx(), "run", []byte(script), 0o755), "WriteFile")
	if !t.cfg.NoShell {
		assert.Equal(t, "ran\n", t.out(sb, compute.Exec("./run")))
	}
}
