package computetest

import (
	"errors"
	"reflect"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var droppedInSilence = group{"NothingIsDroppedInSilence", []check{
	{"SandboxOptions", sandboxOptions},
	{"SourcesThatDoNotExist", unknownSources},
	{"ImpossibleOptions", impossibleOptions},
	{"ImpossibleSizes", impossibleSizes},
	{"SandboxEnv", sandboxEnv},
	{"SandboxUser", sandboxUser},
	{"SandboxUserUnknown", sandboxUserUnknown},
	{"CommandUser", commandUser},
	{"CommandUserUnknown", unknownUser},
	{"CommandEnvOverSandboxEnv", envPrecedence},
	{"CommandOpenStdin", openStdinWithoutStart},
	{"CommandTTY", ttyOrUnsupported},
	{"OutputOfAWriterThatLags", writerLags},
	{"ForeignExtra", foreignExtra},
	{"InvalidSandboxOptions", invalidSandboxOptions},
	{"InvalidCommands", invalidCommands},
	{"InvalidListings", invalidListings},
	{"OptionsAreNotChanged", optionsNotChanged},
	{"OptionsAreNotKept", optionsNotKept},
	{"SnapshotOptions", snapshotOptions},
	{"TemplateOptions", templateOptions},
}}

// sandboxOptions gives each field alone: it is honoured or unsupported.
func sandboxOptions(t *tester) {
	for name, opts := range map[string]*compute.CreateSandboxOptions{
		"Name":        {Name: "it's a name"},
		"Metadata":    {Metadata: map[string]string{"key": "it's a value"}},
		"Lifetime":    {Lifetime: time.Hour},
		"IdleTimeout": {IdleTimeout: time.Hour},
		"CPUs":        {Resources: compute.Resources{CPUs: 1}},
		"MemoryMiB":   {Resources: compute.Resources{MemoryMiB: 256}},
		"DiskMiB":     {Resources: compute.Resources{DiskMiB: 256}},
		"Ports":       {Ports: []int{8080}},
		"NetworkNone": {Network: &compute.NetworkPolicy{}},
		"NetworkAll":  {Network: &compute.NetworkPolicy{Allow: []string{"*"}}},
	} {
		sb, err := t.create(t.ctx(), opts)
		if err != nil {
			assert.ErrorIs(t, err, errors.ErrUnsupported, "option %s", name)
			assert.True(t, compute.NothingDone(err), "option %s", name)
			continue
		}
		t.requireHonoured(sb, name, opts)
		require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	}
}

// requireHonoured looks at what Info shows of the options.
func (t *tester) requireHonoured(sb compute.Sandbox, name string, opts *compute.CreateSandboxOptions) {
	t.Helper()
	info := t.info(sb)
	assert.Equal(t, opts.Name, info.Name, "Info.Name")
	for k, v := range opts.Metadata {
		assert.Equal(t, v, info.Metadata[k], "Info.Metadata")
	}
	if opts.Lifetime > 0 {
		assert.WithinDuration(t, time.Now().Add(opts.Lifetime), info.Expires, t.slow(time.Minute), "Info.Expires with option %s", name)
	}
}

// unknownSources must not turn into the default image.
func unknownSources(t *tester) {
	for name, opts := range map[string]*compute.CreateSandboxOptions{
		"Template": {Template: "computetest-no-such-template"},
		"Snapshot": {Snapshot: "computetest-no-such-snapshot"},
		"Mounts":   {Mounts: []compute.Mount{{Volume: "computetest-no-such-volume", Path: "/mnt/v"}}},
	} {
		_, err := t.create(t.ctx(), opts)
		if !t.lacks(err) {
			assert.ErrorIs(t, err, compute.ErrNotFound, "option %s", name)
		}
	}
	assert.Empty(t, t.listed(), "sandboxes of failed creates")
}

// impossibleOptions cannot be honoured by anyone: success means that nobody
// looked.
func impossibleOptions(t *tester) {
	t.requireRefused(map[string]*compute.CreateSandboxOptions{
		"Image": {Image: "computetest.invalid/no/such:image"},
		"Code":  {Code: []compute.CodeMount{{URL: "https://computetest.invalid/no/such.git"}}},
	})
}

// impossibleSizes: a provider rounds up to the next size it has, never down.
func impossibleSizes(t *tester) {
	t.requireRefused(map[string]*compute.CreateSandboxOptions{
		"CPUs":      {Resources: compute.Resources{CPUs: 1e9}},
		"MemoryMiB": {Resources: compute.Resources{MemoryMiB: 1 << 40}},
		"DiskMiB":   {Resources: compute.Resources{DiskMiB: 1 << 50}},
		"GPU":       {Resources: compute.Resources{GPU: "no-such-gpu:9000"}},
	})
}

func (t *tester) requireRefused(options map[string]*compute.CreateSandboxOptions) {
	t.Helper()
	for name, opts := range options {
		_, err := t.create(t.ctx(), opts)
		assert.Error(t, err, "option %s cannot be honoured", name)
	}
	assert.Empty(t, t.listed(), "sandboxes of failed creates")
}

func sandboxEnv(t *tester) {
	t.needShell()
	sb, err := t.create(t.ctx(), &compute.CreateSandboxOptions{Env: map[string]string{"A": "it's", "B_2": "$A"}})
	if t.lacks(err) {
		t.Skip("no environment of sandboxes")
	}
	require.NoError(t, err, "CreateSandbox")
	assert.Equal(t, "it's $A\n", t.sh(sb, `echo "$A $B_2"`))
	again, err := t.c.GetSandbox(t.ctx(), sb.ID())
	require.NoError(t, err, "GetSandbox")
	assert.Equal(t, "it's $A\n", t.sh(again, `echo "$A $B_2"`), "through another handle")
}

func sandboxUser(t *tester) {
	sb, err := t.create(t.ctx(), &compute.CreateSandboxOptions{User: "root"})
	if t.lacks(err) {
		t.Skip("no users of sandboxes")
	}
	require.NoError(t, err, "CreateSandbox")
	assert.Equal(t, "root\n", t.out(sb, compute.Exec("id", "-un")))
}

// sandboxUserUnknown may come out when the sandbox is created, or when it first
// runs something.
func sandboxUserUnknown(t *tester) {
	sb, err := t.create(t.ctx(), &compute.CreateSandboxOptions{User: "no-such-user-42"})
	if err == nil {
		_, err = sb.RunCommand(t.ctx(), compute.Exec("true"))
	}
	assert.Error(t, err, "a user that does not exist")
}

func commandUser(t *tester) {
	sb := t.sandbox(nil)
	cmd := compute.Exec("id", "-un")
	cmd.User = "root"
	res, err := sb.RunCommand(t.ctx(), cmd)
	if t.lacks(err) {
		t.Skip("no users of commands")
	}
	require.NoError(t, err, "RunCommand")
	assert.Equal(t, "root\n", res.Stdout)
}

func unknownUser(t *tester) {
	sb := t.sandbox(nil)
	for _, user := range []string{"no-such-user-42", "root; echo > ran", "$(echo > ran)", "-x"} {
		cmd := compute.Exec("sh", "-c", "echo > ran")
		cmd.User = user
		_, err := sb.RunCommand(t.ctx(), cmd)
		assert.Error(t, err, "user %q", user)
	}
	assert.False(t, t.exists(sb, "ran"), "a command of an unknown user ran as somebody else")
}

func envPrecedence(t *tester) {
	t.needShell()
	sb, err := t.create(t.ctx(), &compute.CreateSandboxOptions{Env: map[string]string{"A": "sandbox", "B": "sandbox"}})
	if t.lacks(err) {
		t.Skip("no environment of sandboxes")
	}
	require.NoError(t, err, "CreateSandbox")
	cmd := compute.Shell(`echo "$A $B $C"`)
	cmd.Env = map[string]string{"B": "command", "C": ""}
	assert.Equal(t, "sandbox command \n", t.out(sb, cmd))
	assert.Equal(t, "sandbox sandbox \n", t.sh(sb, `echo "$A $B $C"`), "a command's environment is its own")
}

// openStdinWithoutStart would leave the input open with nobody to write to it.
func openStdinWithoutStart(t *tester) {
	cmd := compute.Exec("cat")
	cmd.OpenStdin = true
	_, err := t.sandbox(nil).RunCommand(t.ctx(), cmd)
	if !t.lacks(err) {
		assert.ErrorIs(t, err, compute.ErrInvalid, "OpenStdin goes with Start only")
	}
}

func ttyOrUnsupported(t *tester) {
	t.needShell()
	cmd := compute.Shell(`test -t 0 && test -t 1 && test -t 2 && echo terminal`)
	cmd.TTY = &compute.TTY{}
	res, err := t.sandbox(nil).RunCommand(t.ctx(), cmd)
	if t.lacks(err) {
		return
	}
	require.NoError(t, err, "RunCommand")
	assert.Contains(t, res.Stdout, "terminal", "the command has no terminal")
}

type foreignOptions struct{}

func (foreignOptions) ForProvider() string { return "somebody-else" }

func foreignExtra(t *tester) {
	sb := t.sandbox(&compute.CreateSandboxOptions{Extra: []compute.ProviderOptions{foreignOptions{}, &foreignOptions{}}})
	t.out(sb, compute.Exec("true"))
}

func optionsNotChanged(t *tester) {
	opts := func() *compute.CreateSandboxOptions {
		return &compute.CreateSandboxOptions{Name: "n", Metadata: map[string]string{"k": "v", label: t.id}}
	}
	given := opts()
	sb, err := t.c.CreateSandbox(t.ctx(), given)
	require.NoError(t, err, "CreateSandbox")
	destroyAtEnd(t, sb)
	assert.True(t, reflect.DeepEqual(opts(), given), "CreateSandbox changed its options to %+v", given)
	cmd, same := compute.Exec("echo", "a"), compute.Exec("echo", "a")
	cmd.Env, same.Env = map[string]string{"A": "1"}, map[string]string{"A": "1"}
	t.out(sb, cmd)
	assert.True(t, reflect.DeepEqual(same, cmd), "RunCommand changed its command to %+v", cmd)
}

func optionsNotKept(t *tester) {
	opts := t.labelled(&compute.CreateSandboxOptions{Name: "before", Metadata: map[string]string{"k": "before"}})
	sb, err := t.c.CreateSandbox(t.ctx(), opts)
	require.NoError(t, err, "CreateSandbox")
	destroyAtEnd(t, sb)
	opts.Name, opts.Metadata["k"], opts.Metadata["new"] = "after", "after", "after"
	info := t.info(sb)
	assert.Equal(t, "before", info.Name)
	assert.Equal(t, "before", info.Metadata["k"], "CreateSandbox kept its caller's map")
	assert.NotContains(t, info.Metadata, "new", "CreateSandbox kept its caller's map")
}
