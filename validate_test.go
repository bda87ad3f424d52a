package compute_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

const secret = "hunter2" // in every bad value below, and never in an error

func TestValidate(t *testing.T) {
	long := secret + strings.Repeat("x", 5000)
	nul := secret + "\x00"
	type sandbox = compute.CreateSandboxOptions
	type template = compute.CreateTemplateOptions
	tests := map[string]struct {
		opts interface{ Validate() error }
		want string // what the message says; empty is valid
	}{
		"nil sandbox":  {(*sandbox)(nil), ""},
		"zero sandbox": {&sandbox{}, ""},
		"full sandbox": {&sandbox{Name: "n", Image: "i", Env: map[string]string{"_A1": secret}, Metadata: map[string]string{"k.v/x": ""},
			Lifetime: time.Hour, Resources: compute.Resources{CPUs: .5}, Ports: []int{1, 65535}, Network: &compute.NetworkPolicy{},
			Mounts: []compute.Mount{{Volume: "v", Path: "/v"}, {Volume: "v", Path: "/w"}}, Code: []compute.CodeMount{{URL: "u"}}}, ""},
		"long name":              {&sandbox{Name: long}, "Name must not be longer than 128 characters"},
		"NUL in name":            {&sandbox{Name: nul}, "Name must not contain a NUL byte"},
		"template and snapshot":  {&sandbox{Template: secret, Snapshot: secret}, "Snapshot cannot be combined with Template"},
		"template and image":     {&sandbox{Template: secret, Image: secret}, "Image cannot be combined with Template or Snapshot"},
		"snapshot and image":     {&sandbox{Snapshot: secret, Image: secret}, "Image cannot be combined with Template or Snapshot"},
		"bad env name":           {&sandbox{Env: map[string]string{"A-B": secret}}, "Env[A-B] is not the name of an environment variable"},
		"empty env name":         {&sandbox{Env: map[string]string{"": secret}}, "Env[] is not the name of an environment variable"},
		"NUL in env":             {&sandbox{Env: map[string]string{"A": nul}}, "Env[A] must not contain a NUL byte"},
		"empty metadata key":     {&sandbox{Metadata: map[string]string{"": secret}}, "Metadata[] must not be empty"},
		"NUL in metadata":        {&sandbox{Metadata: map[string]string{"k": nul}}, "Metadata[k] must not contain a NUL byte"},
		"negative lifetime":      {&sandbox{Lifetime: -1}, "Lifetime must be at least 0"},
		"negative idle timeout":  {&sandbox{IdleTimeout: -1}, "IdleTimeout must be at least 0"},
		"negative CPUs":          {&sandbox{Resources: compute.Resources{CPUs: -1}}, "Resources.CPUs must be at least 0"},
		"negative memory":        {&sandbox{Resources: compute.Resources{MemoryMiB: -1}}, "Resources.MemoryMiB must be at least 0"},
		"negative disk":          {&sandbox{Resources: compute.Resources{DiskMiB: -1}}, "Resources.DiskMiB must be at least 0"},
		"port 0":                 {&sandbox{Ports: []int{80, 0}}, "Ports[1] must be at least 1"},
		"port 65536":             {&sandbox{Ports: []int{65536}}, "Ports[0] must be at most 65535"},
		"empty host":             {&sandbox{Network: &compute.NetworkPolicy{Allow: []string{""}}}, "Network.Allow[0] must not be empty"},
		"mount without a volume": {&sandbox{Mounts: []compute.Mount{{Path: "/" + secret}}}, "Mounts[0].Volume must not be empty"},
		"mount at a relative":    {&sandbox{Mounts: []compute.Mount{{Volume: "v", Path: secret}}}, `Mounts[0].Path must begin with "/"`},
		"two mounts at one":      {&sandbox{Mounts: []compute.Mount{{Volume: "v", Path: "/" + secret}, {Volume: "w", Path: "/" + secret}}}, "Mounts must differ in Path"},
		"code without a URL":     {&sandbox{Code: []compute.CodeMount{{Token: secret}}}, "Code[0].URL must not be empty"},
		"NUL in token":           {&sandbox{Code: []compute.CodeMount{{URL: "u", Token: nul}}}, "Code[0].Token must not contain a NUL byte"},
		"two faults":             {&sandbox{Name: nul, Ports: []int{0}}, "Name must not contain a NUL byte; Ports[0] must be at least 1"},

		"nil template":         {(*template)(nil), "Name must not be empty"},
		"template":             {&template{Name: "n", Dockerfile: "FROM x", Files: map[string]string{"/a": nul}}, ""},
		"nameless template":    {&template{Image: secret}, "Name must not be empty"},
		"image and Dockerfile": {&template{Name: "n", Image: secret, Dockerfile: secret}, "Image cannot be combined with Dockerfile"},
		"relative file":        {&template{Name: "n", Files: map[string]string{"a": secret}}, `Files[a] must begin with "/"`},
		"empty setup":          {&template{Name: "n", Setup: []string{secret, ""}}, "Setup[1] must not be empty"},
		"empty launch":         {&template{Name: "n", Launch: []string{""}}, "Launch[0] must not be empty"},
		"bad argument name":    {&template{Name: "n", Args: map[string]string{"1": secret}}, "Args[1] is not the name of an environment variable"},
		"template's resources": {&template{Name: "n", Resources: compute.Resources{CPUs: -1}}, "Resources.CPUs must be at least 0"},

		"nil list":              {(*compute.ListSandboxesOptions)(nil), ""},
		"negative limit":        {&compute.ListSandboxesOptions{Limit: -1}, "Limit must be at least 0"},
		"templates' limit":      {&compute.ListTemplatesOptions{Limit: -1}, "Limit must be at least 0"},
		"snapshots' limit":      {&compute.ListSnapshotsOptions{Limit: -1}, "Limit must be at least 0"},
		"nil snapshot":          {(*compute.CreateSnapshotOptions)(nil), ""},
		"snapshot's name":       {&compute.CreateSnapshotOptions{Name: nul}, "Name must not contain a NUL byte"},
		"snapshot's metadata":   {&compute.CreateSnapshotOptions{Metadata: map[string]string{"": ""}}, "Metadata[] must not be empty"},
		"nil volume":            {(*compute.CreateVolumeOptions)(nil), ""},
		"negative volume":       {&compute.CreateVolumeOptions{SizeMiB: -1}, "SizeMiB must be at least 0"},
		"volume of a long name": {&compute.CreateVolumeOptions{Name: long}, "Name must not be longer than 128 characters"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.opts.Validate()
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, compute.ErrInvalid)
			require.ErrorContains(t, err, ": "+tt.want)
			require.NotContains(t, err.Error(), secret)
			require.Equal(t, 400, compute.StatusCode(err))
		})
	}
}

func TestCommandValidate(t *testing.T) {
	tests := map[string]struct {
		cmd  *compute.Command
		want string
	}{
		"program":         {compute.Exec("ls", "", "-l", "\xff"), ""},
		"script":          {compute.Shell(" "), ""},
		"everything":      {&compute.Command{Script: "x", Dir: "d", User: "u", Env: map[string]string{"A_1": "\n"}, TTY: &compute.TTY{}}, ""},
		"nil":             {nil, "no command"},
		"zero":            {&compute.Command{}, "exactly one of Args and Script"},
		"both":            {&compute.Command{Args: []string{"x"}, Script: "x"}, "exactly one of Args and Script"},
		"empty program":   {compute.Exec(""), "empty program name"},
		"NUL in argument": {compute.Exec("x", "a\x00"), "NUL"},
		"NUL in script":   {compute.Shell("a\x00"), "NUL"},
		"NUL in dir":      {&compute.Command{Script: "x", Dir: "\x00"}, "NUL"},
		"NUL in user":     {&compute.Command{Script: "x", User: "\x00"}, "NUL"},
		"bad env name":    {&compute.Command{Script: "x", Env: map[string]string{"A=B": secret}}, `bad environment variable name "A=B"`},
		"NUL in env":      {&compute.Command{Script: "x", Env: map[string]string{"A": secret + "\x00"}}, "NUL byte in environment variable A"},
		"stderr on a TTY": {&compute.Command{Script: "x", TTY: &compute.TTY{}, Stderr: io.Discard}, "Stderr"},
		"negative TTY":    {&compute.Command{Script: "x", TTY: &compute.TTY{Rows: -1}}, "terminal size"},
		"two stdins":      {&compute.Command{Script: "x", OpenStdin: true, Stdin: strings.NewReader("")}, "Stdin"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.cmd.Validate()
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, compute.ErrInvalid)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), secret)
			_, err = compute.Start(context.Background(), nil, tt.cmd)
			require.ErrorIs(t, err, compute.ErrInvalid, "Start looks first")
		})
	}
}

func TestMatch(t *testing.T) {
	info := &compute.SandboxInfo{Status: compute.StatusRunning, Metadata: map[string]string{"a": "1", "empty": ""}}
	type opts = compute.ListSandboxesOptions
	for _, yes := range []*opts{nil, {}, {Status: []compute.Status{"failed", "running"}}, {Metadata: map[string]string{"a": "1", "empty": ""}}} {
		require.True(t, yes.Match(info), "%+v", yes)
	}
	for _, no := range []*opts{{Status: []compute.Status{"failed"}}, {Metadata: map[string]string{"a": "2"}}, {Metadata: map[string]string{"missing": ""}}} {
		require.False(t, no.Match(info), "%+v", no)
	}
	snap := &compute.Snapshot{SandboxID: "s", Name: "n"}
	require.True(t, (*compute.ListSnapshotsOptions)(nil).Match(snap))
	require.True(t, (&compute.ListSnapshotsOptions{SandboxID: "s", Name: "n"}).Match(snap))
	require.False(t, (&compute.ListSnapshotsOptions{SandboxID: "s", Name: "m"}).Match(snap))
	tmpl := &compute.Template{Name: "n"}
	require.True(t, (*compute.ListTemplatesOptions)(nil).Match(tmpl))
	require.False(t, (&compute.ListTemplatesOptions{Name: "m"}).Match(tmpl))
}
