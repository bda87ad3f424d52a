package runlooptest

import (
	"net/http"
	"time"
)

// catalog is what the API has beside devboxes, their snapshots and blueprints.
// Emulator.mu guards the tables; the rest never changes.
type catalog struct {
	objects       table[object]
	secrets       table[secret]
	policies      table[policy]
	gateways      table[gateway]
	mcpConfigs    table[mcpConfig]
	agents        table[agent]
	axons         table[axon]
	scenarios     table[scenario]
	scenarioRuns  table[scenarioRun]
	scorers       table[scorer]
	benchmarks    table[benchmark]
	benchmarkRuns table[benchmarkRun]
	jobs          table[benchmarkJob]
	keys          table[apiKey]

	signer    *signer
	transport *http.Transport // of gateways
}

// routeCatalog adds the operations of all of them.
func (e *Emulator) routeCatalog() error {
	e.signer = newSigner()
	if e.opts.streamIdle == 0 {
		e.opts.streamIdle = time.Minute
	}
	var err error
	if e.transport, err = e.newTransport(); err != nil {
		return err
	}
	e.routeObjects()
	e.routeSecrets()
	e.routePolicies()
	e.routeGateways()
	e.routeMCP()
	e.routeAgents()
	e.routeAxons()
	e.routeScenarios()
	e.routeScenarioRuns()
	e.routeScorers()
	e.routeBenchmarks()
	e.routeBenchmarkRuns()
	e.routeJobs()
	e.routeAccounts()
	return nil
}

// closeCatalog gives up files, databases and connections.
func (e *Emulator) closeCatalog() error {
	e.closeObjects()
	e.transport.CloseIdleConnections()
	return e.closeAxons()
}
