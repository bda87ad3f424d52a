//go:build linux

package local_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

func TestUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root's sandboxes have users")
	}
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	require.NoError(t, script(t, sb, `useradd -m -s /bin/sh -G staff,mail ann && groupadd -g 3000 team && usermod -aG team ann &&
		echo 'bob:x:4000:4000::/srv/bob:/bin/sh' >>/etc/passwd; echo 'huge:x:70000:70000::/:/bin/sh' >>/etc/passwd
		echo 'big:x:70001:ann' >>/etc/group; echo 'broken:x:x' >>/etc/passwd; echo 12:x:4001:4001::/:/bin/sh >>/etc/passwd`).Err())
	const who = `echo "$(id -u):$(id -g) $(id -G) $HOME $USER $LOGNAME"`
	for user, want := range map[string]string{
		"":          "0:0 0 /root root root",
		"root":      "0:0 0 /root root root",
		"0":         "0:0 0 /root root root",
		"user":      "1000:1000 1000 /home/user user user",
		"1000":      "1000:1000 1000 /home/user user user",
		"1000:50":   "1000:50 50 /home/user user user",
		"user:mail": "1000:8 8 /home/user user user",
		"ann":       "1001:1001 1001 8 50 3000 /home/ann ann ann",
		"ann:team":  "1001:3000 3000 8 50 /home/ann ann ann",
		"bob":       "4000:4000 4000 /srv/bob bob bob",
		"12345":     "12345:12345 12345 / 12345 12345",
		"65534":     "65534:65534 65534 /nonexistent nobody nobody",
		"12":        "12:12 12 / 12 12", // a number is not a name
		"0:7":       "0:7 7 /root root root",
	} {
		res, err := sb.RunCommand(t.Context(), &compute.Command{Script: who, User: user, Dir: "/"})
		if assert.NoError(t, err, user) {
			assert.Equal(t, want+"\n", res.Stdout, "user %q; %s", user, res.Stderr)
		}
	}
	for _, user := range []string{"none", "user:none", "huge", "70000", "4294967295", "4294967296", "-1", "1000:70000", "broken", "../user", ":", "user:"} {
		_, err := sb.RunCommand(t.Context(), &compute.Command{Script: "true", User: user})
		assert.ErrorIs(t, err, compute.ErrInvalid, user)
		_, err = compute.Start(t.Context(), sb, &compute.Command{Script: "true", User: user})
		assert.ErrorIs(t, err, compute.ErrInvalid, user)
	}
	res, err := sb.RunCommand(t.Context(), &compute.Command{Script: "cat /etc/shadow; echo >/etc/x; su root -c id", User: "ann", Dir: "/home/ann", Stdin: nil})
	require.NoError(t, err)
	assert.Empty(t, res.Stdout, "an ordinary user is none of root")
	assert.Contains(t, script(t, sb, "su ann -c id").Stdout, "uid=1001(ann)", "root can become anybody")
	_, err = sb.RunCommand(t.Context(), &compute.Command{Script: "true", User: "ann", Dir: "/root"})
	assert.ErrorIs(t, err, os.ErrPermission)
}

func TestDefaultUser(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	if os.Geteuid() != 0 {
		_, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{User: "user"})
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		assert.ErrorContains(t, err, "root")
		sb := computetest.NewSandbox(t, p, &compute.CreateSandboxOptions{User: "root"})
		_, err = sb.RunCommand(t.Context(), &compute.Command{Script: "true", User: "user"})
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		_, err = sb.RunCommand(t.Context(), &compute.Command{Script: "true", User: "none"})
		assert.ErrorIs(t, err, compute.ErrInvalid)
		return
	}
	sb := computetest.NewSandbox(t, p, &compute.CreateSandboxOptions{User: "user"})
	assert.Equal(t, "user /workspace\n", script(t, sb, "echo x >f && echo $(stat -c %U f) $PWD").Stdout, "it can write where it is")
	assert.Equal(t, "user\n", runIn(t, openShell(t, sb, "main"), compute.Shell("id -un")).Stdout)
	again, err := p.GetSandbox(t.Context(), sb.ID())
	require.NoError(t, err)
	assert.Equal(t, "user\n", script(t, again, "id -un").Stdout)
	assert.Equal(t, "root\n", runIn(t, sb, &compute.Command{Script: "id -un", User: "root"}).Stdout)
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "g", nil, 0o644))
	assert.Equal(t, "root\nuser\n", script(t, sb, "stat -c %U g f").Stdout, "files from outside belong to root")
	_, err = p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{User: "none"})
	assert.ErrorIs(t, err, compute.ErrInvalid)
	all, err := compute.Collect(p.ListSandboxes(t.Context(), nil), 0)
	require.NoError(t, err)
	assert.Len(t, all, 1, "nothing is left")
}
