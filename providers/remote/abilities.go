package remote

import (
	"slices"

	"github.com/computekit/compute"
)

// What the far end can do is a layer each around what every provider can do, so
// that compute.As finds the one and not the other.

type (
	computeLayer    struct{ compute.Compute }
	sandboxLayer    struct{ compute.Sandbox }
	filesystemLayer struct{ compute.Filesystem }
	processLayer    struct{ compute.Process }
)

func (l computeLayer) Unwrap() compute.Compute       { return l.Compute }
func (l sandboxLayer) Unwrap() compute.Sandbox       { return l.Sandbox }
func (l filesystemLayer) Unwrap() compute.Filesystem { return l.Filesystem }
func (l processLayer) Unwrap() compute.Process       { return l.Process }

// ability is a layer by the name that compute.Abilities has for it. V is what
// it is put around, and A what has the methods of all of them.
type ability[V, A any] struct {
	name string
	add  func(V, A) V
}

func withAbilities[V, A any](inner V, all A, known []ability[V, A], names []string) V {
	for _, a := range known {
		if slices.Contains(names, a.name) {
			inner = a.add(inner, all)
		}
	}
	return inner
}

func withComputeAbilities(p *Provider, names []string) compute.Compute {
	return withAbilities[compute.Compute](p, computeAbilities{p.client}, ofCompute, names)
}

// The receivers of all optional methods. Nobody sees them but their layers.
type (
	computeAbilities    struct{ *client }
	sandboxAbilities    struct{ *Sandbox }
	filesystemAbilities struct{ *filesystem }
	processAbilities    struct{ *process }
)

var ofCompute = []ability[compute.Compute, computeAbilities]{
	{"TemplateLogger", func(in compute.Compute, all computeAbilities) compute.Compute {
		return struct {
			computeLayer
			compute.TemplateLogger
		}{computeLayer{in}, all}
	}},
	{"Volumes", func(in compute.Compute, all computeAbilities) compute.Compute {
		return struct {
			computeLayer
			compute.Volumes
		}{computeLayer{in}, all}
	}},
}

var ofFilesystem = []ability[compute.Filesystem, filesystemAbilities]{
	{"FileOpener", func(in compute.Filesystem, all filesystemAbilities) compute.Filesystem {
		return struct {
			filesystemLayer
			compute.FileOpener
		}{filesystemLayer{in}, all}
	}},
	{"FileCreator", func(in compute.Filesystem, all filesystemAbilities) compute.Filesystem {
		return struct {
			filesystemLayer
			compute.FileCreator
		}{filesystemLayer{in}, all}
	}},
	{"Renamer", func(in compute.Filesystem, all filesystemAbilities) compute.Filesystem {
		return struct {
			filesystemLayer
			compute.Renamer
		}{filesystemLayer{in}, all}
	}},
	{"Archiver", func(in compute.Filesystem, all filesystemAbilities) compute.Filesystem {
		return struct {
			filesystemLayer
			compute.Archiver
		}{filesystemLayer{in}, all}
	}},
	{"FileWatcher", func(in compute.Filesystem, all filesystemAbilities) compute.Filesystem {
		return struct {
			filesystemLayer
			compute.FileWatcher
		}{filesystemLayer{in}, all}
	}},
}

var ofProcess = []ability[compute.Process, processAbilities]{
	{"Signaler", func(in compute.Process, all processAbilities) compute.Process {
		return struct {
			processLayer
			compute.Signaler
		}{processLayer{in}, all}
	}},
	{"StdinOpener", func(in compute.Process, all processAbilities) compute.Process {
		return struct {
			processLayer
			compute.StdinOpener
		}{processLayer{in}, all}
	}},
	{"Resizer", func(in compute.Process, all processAbilities) compute.Process {
		return struct {
			processLayer
			compute.Resizer
		}{processLayer{in}, all}
	}},
}
