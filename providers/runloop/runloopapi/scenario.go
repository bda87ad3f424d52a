package runloopapi

import "context"

// Scenario is a task for an agent, with a devbox to do it in and scorers to judge it. It holds nothing but its ID.
type Scenario struct {
	ID     string
	client *Client
}

// Scenario returns the scenario with an ID. It makes no request. [Client.NewScenarioBuilder] makes new ones.
func (c *Client) Scenario(id string) *Scenario { return &Scenario{ID: id, client: c} }

// Info returns what the service knows of the scenario.
func (s *Scenario) Info(ctx context.Context, opts ...RequestOption) (*ScenarioView, error) {
	return s.client.Scenarios.Get(ctx, s.ID, opts...)
}

// Update changes the scenario, field by field.
func (s *Scenario) Update(
	ctx context.Context, params *ScenarioUpdateParams, opts ...RequestOption,
) (*ScenarioView, error) {
	return s.client.Scenarios.Update(ctx, s.ID, params, opts...)
}

// Archive takes the scenario out of use.
func (s *Scenario) Archive(ctx context.Context, opts ...RequestOption) (*ScenarioView, error) {
	return s.client.Scenarios.Archive(ctx, s.ID, opts...)
}

// Start starts a run and returns while its devbox is being made. The scenario's ID takes the place of the one in params, which may be
// nil.
func (s *Scenario) Start(
	ctx context.Context, params *ScenarioRunParams, opts ...RequestOption,
) (*ScenarioRun, error) {
	own := ScenarioRunParams{}
	if params != nil {
		own = *params
	}
	own.ScenarioID = s.ID
	view, err := s.client.Scenarios.StartRun(ctx, &own, opts...)
	if err != nil {
		return nil, err
	}
	return &ScenarioRun{ID: view.ID, DevboxID: view.DevboxID, client: s.client}, nil
}

// Run starts a run and waits until its devbox runs, so that an agent can begin. When it does not come to that, the run is
// cancelled before Run returns, also if ctx has ended.
func (s *Scenario) Run(ctx context.Context, params *ScenarioRunParams, opts ...RequestOption) (*ScenarioRun, error) {
	run, err := s.Start(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	if _, err := run.WaitReady(ctx); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		_, _ = run.Cancel(ctx) // the first error is the one to report
		return nil, err
	}
	return run, nil
}
