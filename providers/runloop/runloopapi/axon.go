package runloopapi

import (
	"context"
	"iter"
	"net/url"
	"strconv"
)

// Subscribe returns the events of an axon whose sequence number is greater than after, 0 for all from the beginning, and then
// those that are published, as they come. It has no end but the caller's break, the end of ctx, or an error, which comes last, with
// a nil event. A connection that is lost, or that the service ends because nothing happens, is made again behind the last event: none
// is missing, and none comes twice. The client's retries bound how many failures there may be without an event in between.
func (s *AxonService) Subscribe(
	ctx context.Context, id string, after int64, opts ...RequestOption,
) iter.Seq2[*AxonEvent, error] {
	return func(yield func(*AxonEvent, error) bool) {
		last := after
		query := func() (url.Values, error) {
			if last <= 0 {
				return nil, nil
			}
			return url.Values{"after_sequence": {strconv.FormatInt(last, 10)}}, nil
		}
		each := func(e *AxonEvent) bool {
			if e.Sequence <= last {
				return true // the service repeats itself
			}
			last = e.Sequence
			return yield(e, nil)
		}
		over := func(context.Context) (bool, error) { return false, nil } // an axon has no end
		if err := resume(ctx, s.client, p("/v1/axons/%s/subscribe/sse", id), query, opts, each, over); err != nil {
			yield(nil, err)
		}
	}
}

// Axon is a stream of events that the service keeps, with a small SQL store at its side. It holds nothing but its ID.
type Axon struct {
	ID     string
	client *Client
}

// Axon returns the axon with an ID. It makes no request.
func (c *Client) Axon(id string) *Axon { return &Axon{ID: id, client: c} }

// NewAxon makes an axon. params may be nil.
func (c *Client) NewAxon(ctx context.Context, params *AxonCreateParams, opts ...RequestOption) (*Axon, error) {
	if params == nil {
		params = &AxonCreateParams{}
	}
	view, err := c.Axons.Create(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	return c.Axon(view.ID), nil
}

// Info returns what the service knows of the axon.
func (a *Axon) Info(ctx context.Context, opts ...RequestOption) (*AxonView, error) {
	return a.client.Axons.Get(ctx, a.ID, opts...)
}

// Update changes the axon.
func (a *Axon) Update(ctx context.Context, params *AxonUpdateParams, opts ...RequestOption) (*AxonView, error) {
	return a.client.Axons.Update(ctx, a.ID, params, opts...)
}

// Publish adds an event.
func (a *Axon) Publish(
	ctx context.Context, params *AxonPublishParams, opts ...RequestOption,
) (*AxonPublishView, error) {
	return a.client.Axons.Publish(ctx, a.ID, params, opts...)
}

// Subscribe returns the events behind a sequence number, as [AxonService.Subscribe] says.
func (a *Axon) Subscribe(ctx context.Context, after int64, opts ...RequestOption) iter.Seq2[*AxonEvent, error] {
	return a.client.Axons.Subscribe(ctx, a.ID, after, opts...)
}

// Query runs one statement on the axon's SQL store. A ? in it takes the next parameter.
func (a *Axon) Query(ctx context.Context, sql string, params ...any) (*SQLResult, error) {
	return a.client.Axons.Query(ctx, a.ID, &SQLStatement{SQL: sql, Params: params})
}

// Batch runs statements on the axon's SQL store in one transaction, and returns a result for each of them.
func (a *Axon) Batch(ctx context.Context, statements ...SQLStatement) ([]SQLStepResult, error) {
	result, err := a.client.Axons.Batch(ctx, a.ID, &SQLBatchParams{Statements: statements})
	if err != nil {
		return nil, err
	}
	return result.Results, nil
}

// Delete deletes the axon and its events.
func (a *Axon) Delete(ctx context.Context, opts ...RequestOption) error {
	return a.client.Axons.Delete(ctx, a.ID, opts...)
}
