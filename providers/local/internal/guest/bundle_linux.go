package guest

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// The part of an OCI runtime's configuration that is used here.
type (
	ociSpec struct {
		Version  string     `json:"ociVersion"`
		Hostname string     `json:"hostname"`
		Process  ociProcess `json:"process"`
		Root     ociRoot    `json:"root"`
		Mounts   []ociMount `json:"mounts"`
		Linux    ociLinux   `json:"linux"`
	}
	ociProcess struct {
		User         struct{ UID, GID int } `json:"user"`
		Args         []string               `json:"args"`
		Env          []string               `json:"env"`
		Cwd          string                 `json:"cwd"`
		Capabilities map[string][]string    `json:"capabilities"`
	}
	ociRoot struct {
		Path string `json:"path"`
	}
	ociMount struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source,omitempty"`
		Options     []string `json:"options,omitempty"`
	}
	ociNamespace struct {
		Type string `json:"type"`
	}
	ociLinux struct {
		Namespaces []ociNamespace `json:"namespaces"`
	}
)

// initCapabilities are those of a gVisor sandbox's init, in gVisor's kernel.
// Commands get no more than the kept ones of them.
var initCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN",
}

// writeBundle writes what runsc is to run.
func (k *keeper) writeBundle() error {
	dir := filepath.Join(k.scratch, bundleDir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(k.spec())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600)
}

func (k *keeper) spec() *ociSpec {
	root := filepath.Join(k.scratch, "r")
	s := &ociSpec{
		Version: "1.0.0", Hostname: k.config.Hostname, Root: ociRoot{root},
		Process: ociProcess{Args: []string{AgentName}, Env: []string{}, Cwd: "/", Capabilities: map[string][]string{
			"bounding": initCapabilities, "effective": initCapabilities, "permitted": initCapabilities,
		}},
		Mounts: []ociMount{
			{Destination: "/proc", Type: "proc"},
			// Else runsc mounts one of its own on it when it is empty.
			{Destination: "/tmp", Type: "bind", Source: filepath.Join(root, "tmp"), Options: []string{"bind", "rw"}},
			{Destination: AgentName, Type: "bind", Source: k.box(wire.GVisorProgram), Options: []string{"bind", "ro"}},
			{Destination: agentFile(wire.GVisorControl), Type: "bind", Source: k.box(wire.GVisorControl), Options: []string{"bind", "rw"}},
		},
	}
	for _, kind := range []string{"pid", "network", "ipc", "uts", "mount"} {
		s.Linux.Namespaces = append(s.Linux.Namespaces, ociNamespace{kind})
	}
	return s
}
