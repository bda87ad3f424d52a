package remote

import "github.com/computekit/compute"

var ofSandbox = []ability[compute.Sandbox, sandboxAbilities]{
	{"Starter", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.Starter
		}{sandboxLayer{in}, all}
	}},
	{"ProcessGetter", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.ProcessGetter
		}{sandboxLayer{in}, all}
	}},
	{"ProcessLister", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.ProcessLister
		}{sandboxLayer{in}, all}
	}},
	{"ShellOpener", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.ShellOpener
		}{sandboxLayer{in}, all}
	}},
	{"Suspender", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.Suspender
		}{sandboxLayer{in}, all}
	}},
	{"Waiter", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.Waiter
		}{sandboxLayer{in}, all}
	}},
	{"Extender", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.Extender
		}{sandboxLayer{in}, all}
	}},
	{"MetadataUpdater", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.MetadataUpdater
		}{sandboxLayer{in}, all}
	}},
	{"EventWatcher", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.EventWatcher
		}{sandboxLayer{in}, all}
	}},
	{"UsageReporter", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.UsageReporter
		}{sandboxLayer{in}, all}
	}},
	{"Rollbacker", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.Rollbacker
		}{sandboxLayer{in}, all}
	}},
	{"Dialer", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.Dialer
		}{sandboxLayer{in}, all}
	}},
	{"Endpointer", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.Endpointer
		}{sandboxLayer{in}, all}
	}},
	{"URLOpener", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.URLOpener
		}{sandboxLayer{in}, all}
	}},
	{"URLLister", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.URLLister
		}{sandboxLayer{in}, all}
	}},
	{"URLCloser", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.URLCloser
		}{sandboxLayer{in}, all}
	}},
	{"SSHer", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.SSHer
		}{sandboxLayer{in}, all}
	}},
	{"NetworkPolicer", func(in compute.Sandbox, all sandboxAbilities) compute.Sandbox {
		return struct {
			sandboxLayer
			compute.NetworkPolicer
		}{sandboxLayer{in}, all}
	}},
}
