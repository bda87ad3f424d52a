package router_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/router"
)

func lettered(cs ...compute.Compute) []compute.Compute {
	for i, c := range cs {
		cs[i] = router.Named(string(rune('a'+i)), c)
	}
	return cs
}

// foreign are the checks that destroy what has an ID of no provider's. Others
// forgive that; a router must not, since it may belong to somebody else.
var foreign = map[string]string{
	"NothingIsLeftBehind/DestroyUnknown":   "TestSandboxes",
	"ErrorsAreTyped/UnknownIDsOfTemplates": "TestTemplates",
	"ErrorsAreTyped/UnknownIDsOfSnapshots": "TestSnapshots",
	"ErrorsAreTyped/UnknownIDsOfAbilities": "TestVolumes",
}

func excused(kind string) map[string]string {
	skip := map[string]string{}
	maps.Copy(skip, foreign)
	if kind == "RoundRobin" {
		skip["Templates/ByName"] = "a name is looked up at one after another, wherever the newest may be"
	}
	return skip
}

func TestConformance(t *testing.T) {
	routers := map[string]func(...compute.Compute) compute.Compute{"Fallback": router.Fallback, "RoundRobin": router.RoundRobin}
	for name, route := range routers {
		t.Run(name, func(t *testing.T) {
			computetest.Run(t, func(t testing.TB) compute.Compute {
				c := route(lettered(stub.New(stub.Config{}), stub.New(stub.Config{}))...)
				t.Cleanup(func() { require.NoError(t, compute.Close(c)) })
				return c
			}, computetest.Config{Templates: true, Snapshots: true, Abilities: abilities(t), Skip: excused(name)})
		})
	}
}

// abilities returns all that the stub can do: routers must not lose any of it.
func abilities(t *testing.T) []string {
	c := stub.New(stub.Config{})
	sb := computetest.NewSandbox(t, c, nil)
	return append(compute.Abilities(c), append(compute.Abilities(sb), compute.Abilities(sb.Filesystem())...)...)
}
