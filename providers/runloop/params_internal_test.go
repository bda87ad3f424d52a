package runloop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

func TestSizes(t *testing.T) {
	for name, c := range map[string]struct {
		in   compute.Resources
		want runloopapi.LaunchParameters
		fail bool
	}{
		"none":           {},
		"least":          {in: compute.Resources{CPUs: 0.1, MemoryMiB: 1}, want: runloopapi.LaunchParameters{ResourceSize: runloopapi.SizeXSmall}},
		"one CPU":        {in: compute.Resources{CPUs: 1}, want: runloopapi.LaunchParameters{ResourceSize: runloopapi.SizeSmall}},
		"never down":     {in: compute.Resources{CPUs: 1.5}, want: runloopapi.LaunchParameters{ResourceSize: runloopapi.SizeMedium}},
		"memory decides": {in: compute.Resources{MemoryMiB: 8193}, want: runloopapi.LaunchParameters{ResourceSize: runloopapi.SizeXLarge}},
		"disk decides":   {in: compute.Resources{DiskMiB: 9000}, want: runloopapi.LaunchParameters{ResourceSize: runloopapi.SizeLarge}},
		"largest":        {in: compute.Resources{CPUs: 8, MemoryMiB: 32 << 10}, want: runloopapi.LaunchParameters{ResourceSize: runloopapi.SizeXXLarge}},
		"in between": {in: compute.Resources{CPUs: 9}, want: runloopapi.LaunchParameters{
			ResourceSize: runloopapi.SizeCustom, CustomCPUs: 10, CustomMemory: 20, CustomDisk: 4}},
		"disk in between": {in: compute.Resources{DiskMiB: 17 << 10}, want: runloopapi.LaunchParameters{
			ResourceSize: runloopapi.SizeCustom, CustomCPUs: 0.5, CustomMemory: 1, CustomDisk: 18}},
		"memory in between": {in: compute.Resources{MemoryMiB: 63 << 10}, want: runloopapi.LaunchParameters{
			ResourceSize: runloopapi.SizeCustom, CustomCPUs: 8, CustomMemory: 64, CustomDisk: 4}},
		"too many CPUs":   {in: compute.Resources{CPUs: 17}, fail: true},
		"too much memory": {in: compute.Resources{MemoryMiB: 65 << 10}, fail: true},
		"too much disk":   {in: compute.Resources{DiskMiB: 65 << 10}, fail: true},
		"a GPU":           {in: compute.Resources{GPU: "T4"}, fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			var l runloopapi.LaunchParameters
			err := setSize("create sandbox", &l, c.in)
			if c.fail {
				require.ErrorIs(t, err, errors.ErrUnsupported)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, l)
		})
	}
}

func TestPolicyParams(t *testing.T) {
	in, err := policyParams("create sandbox", &compute.NetworkPolicy{Allow: []string{
		"example.com", "*.example.org", "10.0.0.0/8", "192.0.2.1:443", "10.1.0.0/16:80", "[2001:db8::1]:53", "2001:db8::/32"}})
	require.NoError(t, err)
	port := func(n int32) []runloopapi.PortRange { return []runloopapi.PortRange{{Port: n}} }
	assert.ElementsMatch(t, []string{"example.com", "*.example.org"}, in.AllowedHostnames)
	assert.ElementsMatch(t, []runloopapi.AllowedCIDR{
		{CIDR: "10.0.0.0/8"}, {CIDR: "192.0.2.1/32", Ports: port(443)}, {CIDR: "10.1.0.0/16", Ports: port(80)},
		{CIDR: "2001:db8::1/128", Ports: port(53)}, {CIDR: "2001:db8::/32"}}, in.AllowedCIDRs)
	assert.False(t, in.AllowAll)

	none, err := policyParams("create sandbox", &compute.NetworkPolicy{})
	require.NoError(t, err)
	all, err := policyParams("create sandbox", &compute.NetworkPolicy{Allow: []string{"*"}})
	require.NoError(t, err)
	assert.True(t, all.AllowAll)
	assert.False(t, none.AllowAll)
	assert.NotEqual(t, none.Name, all.Name)
	again, err := policyParams("create sandbox", &compute.NetworkPolicy{Allow: []string{"*", "*"}})
	require.NoError(t, err)
	assert.Equal(t, all.Name, again.Name, "what says the same is the same")

	for entry, kind := range map[string]error{
		"example.com:443": errors.ErrUnsupported, "a.*.com": compute.ErrInvalid, "x:y": compute.ErrInvalid, ":80": compute.ErrInvalid,
		"http://x": compute.ErrInvalid, "10.0.0.0/99": compute.ErrInvalid,
	} {
		_, err := policyParams("create sandbox", &compute.NetworkPolicy{Allow: []string{entry}})
		assert.ErrorIs(t, err, kind, entry)
	}
}

func TestCodeMount(t *testing.T) {
	m, err := codeMount("create sandbox", compute.CodeMount{URL: "https://github.com/owner/repo.git", Ref: "v1", Token: "t", Install: "make", Path: "repo"})
	require.NoError(t, err)
	assert.Equal(t, &runloopapi.CodeMount{RepoOwner: "owner", RepoName: "repo", GitRef: "v1", Token: "t", InstallCommand: "make"}, m)
	for _, bad := range []compute.CodeMount{
		{URL: "https://example.com/owner/repo"}, {URL: "http://github.com/owner/repo"}, {URL: "https://github.com/owner"},
		{URL: "https://github.com/a/b/c"}, {URL: "https://github.com/a/b", Path: "/elsewhere"}, {URL: "git@github.com:a/b"},
		{URL: "https://user@github.com/a/b"},
	} {
		_, err := codeMount("create sandbox", bad)
		assert.ErrorIs(t, err, errors.ErrUnsupported, bad.URL)
	}
}

func TestParams(t *testing.T) {
	p, err := New(Config{APIKey: "key", Env: map[string]string{"A": "config", "B": "config"}, Metadata: map[string]string{"m": "config"}, Lifetime: time.Hour})
	require.NoError(t, err)
	defer p.Close()
	for name, c := range map[string]struct {
		in    compute.CreateSandboxOptions
		check func(*testing.T, *runloopapi.DevboxCreateParams)
		kind  error
	}{
		"defaults": {check: func(t *testing.T, in *runloopapi.DevboxCreateParams) {
			assert.Equal(t, map[string]string{"A": "config", "B": "config"}, in.EnvironmentVariables)
			assert.EqualValues(t, 3600, in.LaunchParameters.KeepAliveSeconds)
		}},
		"options before defaults": {in: compute.CreateSandboxOptions{Env: map[string]string{"B": "own"}, IdleTimeout: 90 * time.Second},
			check: func(t *testing.T, in *runloopapi.DevboxCreateParams) {
				assert.Equal(t, map[string]string{"A": "config", "B": "own"}, in.EnvironmentVariables)
				assert.Zero(t, in.LaunchParameters.KeepAliveSeconds)
				assert.Equal(t, &runloopapi.IdlePolicy{IdleSeconds: 90, OnIdle: runloopapi.IdleShutdown}, in.LaunchParameters.Lifecycle.AfterIdle)
			}},
		"blueprint by ID": {in: compute.CreateSandboxOptions{Template: "bpt_1"}, check: func(t *testing.T, in *runloopapi.DevboxCreateParams) {
			assert.Equal(t, "bpt_1", in.BlueprintID)
		}},
		"blueprint by name": {in: compute.CreateSandboxOptions{Template: "runloop/x"}, check: func(t *testing.T, in *runloopapi.DevboxCreateParams) {
			assert.Equal(t, "runloop/x", in.BlueprintName)
		}},
		"extra": {in: compute.CreateSandboxOptions{Extra: []compute.ProviderOptions{&CreateOptions{
			SnapshotID: "snp_1", Entrypoint: "serve", Secrets: map[string]string{"S": "secret"},
			Mounts: []runloopapi.Mount{{File: &runloopapi.FileMount{Target: "/f", Content: "x"}}},
			Launch: runloopapi.LaunchParameters{LaunchCommands: []string{"go"}, NetworkPolicyID: "npol_1"}}}},
			check: func(t *testing.T, in *runloopapi.DevboxCreateParams) {
				assert.Equal(t, "snp_1", in.SnapshotID)
				assert.Equal(t, "serve", in.Entrypoint)
				assert.Equal(t, "secret", in.Secrets["S"])
				assert.Len(t, in.Mounts, 1)
				assert.Equal(t, []string{"go"}, in.LaunchParameters.LaunchCommands)
				assert.Equal(t, "npol_1", in.LaunchParameters.NetworkPolicyID)
			}},
		"root": {in: compute.CreateSandboxOptions{User: "root"}, check: func(t *testing.T, in *runloopapi.DevboxCreateParams) {
			assert.Equal(t, &runloopapi.UserParameters{Username: "root"}, in.LaunchParameters.User)
		}},
		"two sources":          {in: compute.CreateSandboxOptions{Template: "x", Extra: []compute.ProviderOptions{CreateOptions{SnapshotID: "snp_1"}}}, kind: compute.ErrInvalid},
		"extra twice":          {in: compute.CreateSandboxOptions{Extra: []compute.ProviderOptions{CreateOptions{}, CreateOptions{}}}, kind: compute.ErrInvalid},
		"extra of a template":  {in: compute.CreateSandboxOptions{Extra: []compute.ProviderOptions{TemplateOptions{}}}, kind: compute.ErrInvalid},
		"image":                {in: compute.CreateSandboxOptions{Image: "x"}, kind: errors.ErrUnsupported},
		"volume":               {in: compute.CreateSandboxOptions{Mounts: []compute.Mount{{Volume: "v", Path: "/v"}}}, kind: errors.ErrUnsupported},
		"unknown user":         {in: compute.CreateSandboxOptions{User: "me"}, kind: errors.ErrUnsupported},
		"too long a life":      {in: compute.CreateSandboxOptions{Lifetime: 49 * time.Hour}, kind: errors.ErrUnsupported},
		"both ends":            {in: compute.CreateSandboxOptions{Lifetime: time.Hour, IdleTimeout: time.Hour}, kind: errors.ErrUnsupported},
		"lifetime besides own": {in: compute.CreateSandboxOptions{Lifetime: time.Hour, Extra: []compute.ProviderOptions{CreateOptions{Launch: runloopapi.LaunchParameters{AfterIdle: &runloopapi.IdlePolicy{IdleSeconds: 1}}}}}, kind: errors.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := p.params("create sandbox", &c.in)
			if c.kind != nil {
				require.ErrorIs(t, err, c.kind)
				assert.NotErrorIs(t, c.kind, errors.Join(), "one kind")
				return
			}
			require.NoError(t, err)
			c.check(t, in)
		})
	}
}

func TestOpen(t *testing.T) {
	t.Setenv("RUNLOOP_API_KEY", "")
	_, err := New(Config{})
	require.ErrorIs(t, err, compute.ErrUnauthorized)
	_, err = compute.Open(t.Context(), "runloop://")
	require.ErrorIs(t, err, compute.ErrUnauthorized)
	t.Setenv("RUNLOOP_API_KEY", "s3cret")
	c, err := compute.Open(t.Context(), "runloop://")
	require.NoError(t, err)
	require.NoError(t, compute.Close(c))
	_, err = compute.Open(t.Context(), "runloop://s3cret@host")
	require.ErrorIs(t, err, compute.ErrInvalid)
	assert.NotContains(t, err.Error(), "s3cret")
	_, err = New(Config{APIKey: "key", BaseURL: "not a URL"})
	require.ErrorIs(t, err, compute.ErrInvalid)
}

func TestWrap(t *testing.T) {
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want error
		done bool
	}{
		"unauthorized": {t.Context(), &runloopapi.Error{StatusCode: 401}, compute.ErrUnauthorized, true},
		"forbidden":    {t.Context(), &runloopapi.Error{StatusCode: 403}, compute.ErrForbidden, true},
		"rate":         {t.Context(), &runloopapi.Error{StatusCode: 429, RetryAfter: time.Second}, compute.ErrQuota, true},
		"quota":        {t.Context(), &runloopapi.Error{StatusCode: 400, Message: "Quota exceeded: 3 devboxes"}, compute.ErrQuota, true},
		"credits":      {t.Context(), &runloopapi.Error{StatusCode: 402}, compute.ErrQuota, true},
		"invalid":      {t.Context(), &runloopapi.Error{StatusCode: 422}, compute.ErrInvalid, true},
		"conflict":     {t.Context(), &runloopapi.Error{StatusCode: 409}, compute.ErrConflict, false},
		"outage":       {t.Context(), &runloopapi.Error{StatusCode: 503}, compute.ErrUnavailable, false},
		"lost":         {t.Context(), &runloopapi.Error{Err: runloopapi.ErrConnection}, compute.ErrUnavailable, false},
		"ended":        {dead, &runloopapi.Error{StatusCode: 404}, context.Canceled, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := wrap(c.ctx, "op", "id", c.err)
			require.ErrorIs(t, err, c.want)
			e, ok := errors.AsType[*compute.Error](err)
			require.True(t, ok)
			assert.Equal(t, c.done, e.NothingDone)
			assert.Equal(t, name == "rate", e.RetryAfter == time.Second)
			if name == "ended" {
				assert.NoError(t, e.Kind, "nothing is known of the provider")
			}
		})
	}
}
