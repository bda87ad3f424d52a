package computetest

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var bytesAreBytes = group{"BytesAreBytes", []check{
	{"FilesOfEveryByte", fileEveryByte},
	{"FilesOfEverySize", fileEverySize},
	{"OutputOfEveryByte", outputEveryByte},
	{"ErrorOutputOfEveryByte", errorEveryByte},
	{"InputOfEveryByte", inputEveryByte},
	{"SplitCharacters", splitCharacters},
	{"SplitCharactersToWriters", splitToWriters},
	{"OutputsApart", outputsApart},
	{"OneWriterForBoth", oneWriter},
	{"WritersThatCannotBeCompared", uncomparableWriters},
	{"OutputAsItIsProduced", outputLive},
	{"CaptureFull", captureFull},
	{"CaptureOverfull", captureOverfull},
	{"ErrorCaptureOverfull", captureErrorOverfull},
	{"WritersAreNotBounded", writerUnbounded},
	{"WritersAreNotCollected", writerNotCollected},
	{"OutputFunction", outputFunction},
	{"LongArgument", longArgument},
	{"LongScript", longScript},
}}

// everyByte is n bytes in which every value follows every other sooner or
// later, so that neither encodings nor line ends survive meddling.
func everyByte(n int) string {
	data := make([]byte, n)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	for i := range min(n, 256) {
		data[i] = byte(i)
	}
	return string(data)
}

// requireSame is Equal that does not print megabytes.
func (t *tester) requireSame(want, got, what string) {
	t.Helper()
	if want == got {
		return
	}
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	assert.Fail(t, "bytes differ", "%s: %d bytes, want %d; they differ from byte %d on: %.20q, want %.20q",
		what, len(got), len(want), at, got[at:], want[at:])
}

func fileEveryByte(t *tester) {
	sb, data := t.sandbox(nil), everyByte(1<<20)
	t.write(sb, "f", data)
	t.requireSame(data, t.read(sb, "f"), "file")
	t.requireSame(data, t.collect(sb, compute.Exec("cat", "f")), "file as a command sees it")
}

func fileEverySize(t *tester) {
	sb := t.sandbox(nil)
	for _, n := range []int{0, 1, 2, 3, 4095, 4096, 4097, 128 << 10, 128<<10 + 1, 300_001} {
		data := everyByte(n)
		t.write(sb, "f", data)
		t.requireSame(data, t.read(sb, "f"), "file")
		assert.EqualValues(t, n, t.stat(sb, "f").Size())
	}
}

// collect runs cmd and returns what its writer got.
func (t *tester) collect(sb compute.Sandbox, cmd *compute.Command) string {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout = &out
	t.out(sb, cmd)
	return out.String()
}

func outputEveryByte(t *tester) {
	sb, data := t.sandbox(nil), everyByte(1<<20)
	t.write(sb, "f", data)
	t.requireSame(data, t.out(sb, compute.Exec("cat", "f")), "collected output")
	t.requireSame(data, t.collect(sb, compute.Exec("cat", "f")), "written output")
}

func errorEveryByte(t *tester) {
	t.needShell()
	sb, data := t.sandbox(nil), everyByte(300_000)
	t.write(sb, "f", data)
	t.requireSame(data, t.run(sb, compute.Shell("cat f >&2")).Stderr, "collected error output")
	var got bytes.Buffer
	cmd := compute.Shell("cat f >&2")
	cmd.Stderr = &got
	assert.Empty(t, t.run(sb, cmd).Stderr)
	t.requireSame(data, got.String(), "written error output")
}

func inputEveryByte(t *tester) {
	sb, data := t.sandbox(nil), everyByte(1<<20)
	cmd := compute.Exec("cat")
	cmd.Stdin = strings.NewReader(data)
	t.requireSame(data, t.out(sb, cmd), "input")
}

// splitScript prints a character of two and one of four bytes in pieces.
const splitScript = `printf '\303'; sleep 0.03; printf '\251'; sleep 0.03; printf '\360\237'; sleep 0.03; printf '\230\200'`

func splitCharacters(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	assert.Equal(t, "é😀", t.sh(sb, splitScript))
	assert.Equal(t, "é😀", t.run(sb, compute.Shell("("+splitScript+") >&2")).Stderr)
}

func splitToWriters(t *tester) {
	t.needShell()
	assert.Equal(t, "é😀", t.collect(t.sandbox(nil), compute.Shell(splitScript)))
}

func outputsApart(t *tester) {
	t.needShell()
	res := t.run(t.sandbox(nil), compute.Shell("echo out; echo err >&2; echo out"))
	assert.Equal(t, "out\nout\n", res.Stdout)
	assert.Equal(t, "err\n", res.Stderr)
	assert.False(t, res.Truncated)
}

// oneWriter gives the same unsynchronized writer twice: the race detector
// watches.
func oneWriter(t *tester) {
	t.needShell()
	var both bytes.Buffer
	cmd := compute.Shell("for i in 1 2 3 4 5 6 7 8 9; do echo out; echo err >&2; done")
	cmd.Stdout, cmd.Stderr = &both, &both
	t.out(t.sandbox(nil), cmd)
	assert.Equal(t, 9, strings.Count(both.String(), "out\n"))
	assert.Equal(t, 9, strings.Count(both.String(), "err\n"))
}

// uncomparableWriters panic where somebody asks carelessly whether they are
// equal.
func uncomparableWriters(t *tester) {
	t.needShell()
	var out, errs bytes.Buffer
	cmd := compute.Shell("echo out; echo err >&2")
	cmd.Stdout, cmd.Stderr = writerFunc(out.Write), writerFunc(errs.Write)
	t.out(t.sandbox(nil), cmd)
	assert.Equal(t, "out\n", out.String())
	assert.Equal(t, "err\n", errs.String())
}

// outputLive lets a command go on only when its output has arrived.
func outputLive(t *tester) {
	t.needShell()
	sb, out := t.sandbox(nil), &buffer{}
	cmd := compute.Shell("echo tick; while [ ! -e go ]; do sleep 0.02; done; echo tock")
	cmd.Stdout = out
	ended := t.beside(t.ctx(), sb, cmd)
	t.within(second, func() bool { return out.String() != "" })
	assert.Equal(t, "tick\n", out.String(), "output of a command that runs")
	t.write(sb, "go", "")
	_, err := t.await(ended)
	require.NoError(t, err, "RunCommand")
	assert.Equal(t, "tick\ntock\n", out.String())
}

// flood returns a command that prints n bytes, and those bytes.
func flood(n int) (*compute.Command, string) {
	data := strings.Repeat("0123456789abcde\n", n/16+1)[:n]
	cmd := compute.Exec("cat")
	cmd.Stdin = strings.NewReader(data)
	return cmd, data
}

func captureFull(t *tester) {
	cmd, data := flood(compute.MaxCapture)
	res := t.run(t.sandbox(nil), cmd)
	t.requireSame(data, res.Stdout, "collected output")
	assert.False(t, res.Truncated, "nothing was dropped")
}

func captureOverfull(t *tester) {
	cmd, data := flood(compute.MaxCapture + 1)
	want := 0
	if !t.cfg.NoShell {
		cmd.Args, cmd.Script, want = nil, "cat; exit 7", 7
	}
	res := t.run(t.sandbox(nil), cmd)
	assert.True(t, res.Truncated, "a byte was dropped")
	t.requireSame(data[:compute.MaxCapture], res.Stdout, "the first bytes")
	assert.Equal(t, want, res.ExitCode)
}

func captureErrorOverfull(t *tester) {
	t.needShell()
	cmd, data := flood(compute.MaxCapture + 100_000)
	cmd.Args, cmd.Script = nil, "cat >&2; echo done"
	res := t.run(t.sandbox(nil), cmd)
	assert.True(t, res.Truncated, "bytes were dropped")
	t.requireSame(data[:compute.MaxCapture], res.Stderr, "the first bytes")
	assert.Equal(t, "done\n", res.Stdout)
}

func writerUnbounded(t *tester) {
	cmd, data := flood(compute.MaxCapture + 100_000)
	var out bytes.Buffer
	cmd.Stdout = &out
	res := t.run(t.sandbox(nil), cmd)
	t.requireSame(data, out.String(), "written output")
	assert.False(t, res.Truncated, "nothing was dropped")
}

func writerNotCollected(t *tester) {
	t.needShell()
	cmd := compute.Shell("echo out; echo err >&2")
	cmd.Stdout = io.Discard
	res := t.run(t.sandbox(nil), cmd)
	assert.Empty(t, res.Stdout, "output that had a writer")
	assert.Equal(t, "err\n", res.Stderr, "output that had none")
}

func outputFunction(t *tester) {
	sb := t.sandbox(nil)
	out, err := compute.Output(t.ctx(), sb, compute.Exec("echo", "a"))
	require.NoError(t, err, "Output")
	assert.Equal(t, "a\n", out)
	cmd, data := flood(compute.MaxCapture + 1)
	out, err = compute.Output(t.ctx(), sb, cmd)
	assert.ErrorIs(t, err, compute.ErrTruncated)
	t.requireSame(data[:compute.MaxCapture], out, "the first bytes")
}

func longArgument(t *tester) {
	arg := strings.Repeat("it's ", 20_000)
	t.requireSame(arg+"\n", t.out(t.sandbox(nil), compute.Exec("echo", arg)), "argument")
}

// longScript is beyond what one argument of a program can hold: it works or
// is an error, and is never half a script.
func longScript(t *tester) {
	t.needShell()
	script := "echo begin\n# " + strings.Repeat("x", 200_000) + "\necho end"
	res, err := t.sandbox(nil).RunCommand(t.ctx(), compute.Shell(script))
	if err != nil {
		_, typed := errors.AsType[*compute.Error](err)
		assert.True(t, typed, "error is a %T; want a *compute.Error", err)
		return
	}
	if res.ExitCode == 0 {
		assert.Equal(t, "begin\nend\n", res.Stdout)
	}
}
