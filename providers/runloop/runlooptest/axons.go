package runlooptest

import (
	"database/sql"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	prefixAxon    = "axn_"
	maxAxonEvents = 100000 // that an axon keeps
)

// axon is the record of one stream of events. Emulator.mu guards it, except for
// the store.
type axon struct {
	view    runloopapi.AxonView
	events  []runloopapi.AxonEvent // the sequence number is one more than the index
	deleted bool

	storeMu sync.Mutex
	store   *sql.DB // nil until it is used
	closed  bool
}

func (a *axon) copyView() *runloopapi.AxonView {
	v := a.view
	v.Metadata = copyMetadata(v.Metadata)
	return &v
}

func (e *Emulator) routeAxons() {
	handle(e, "POST /v1/axons", "axons.create", e.createAxon)
	handle(e, "GET /v1/axons", "axons.list", e.listAxons)
	handle(e, "GET /v1/axons/{id}", "axons.get", e.getAxon)
	handle(e, "POST /v1/axons/{id}", "axons.update", e.updateAxon)
	handle(e, "DELETE /v1/axons/{id}", "axons.delete", e.deleteAxon)
	handle(e, "POST /v1/axons/{id}/publish", "axons.publish", e.publish)
	handle(e, "GET /v1/axons/{id}/events", "axons.events", e.listEvents)
	e.add("GET /v1/axons/{id}/subscribe/sse", route{op: "axons.subscribe", stream: true, do: e.subscribe})
	e.routeSQL()
	e.hooks.mountBroker = mountBroker
}

func (e *Emulator) createAxon(_ *call, in *runloopapi.AxonCreateParams) (*runloopapi.AxonView, error) {
	a := &axon{view: runloopapi.AxonView{
		ID: newID(prefixAxon), Name: in.Name, CreateTime: runloopapi.MillisOf(time.Now()), Metadata: copyMetadata(in.Metadata),
	}}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.axons.add(a.view.ID, a)
	return a.copyView(), nil
}

func (e *Emulator) listAxons(c *call, _ *none) (*page[*runloopapi.AxonView], error) {
	metadata, err := metadataFilter(c.query)
	if err != nil {
		return nil, err
	}
	name, id, search := c.query.Get("name"), c.query.Get("id"), c.query.Get("search")
	return list(c, "axons", &e.axons, func(a *axon) bool {
		return strings.HasPrefix(a.view.Name, name) && equal(id, a.view.ID) &&
			searched(search, a.view.ID, a.view.Name) && metadata(a.view.Metadata)
	}, (*axon).copyView)
}

// pathAxon returns the axon that the path of a request names. e.mu is held.
func (e *Emulator) pathAxon(c *call) (*axon, error) {
	id, err := c.id("id", prefixAxon)
	if err != nil {
		return nil, err
	}
	return e.axons.get("axon", id)
}

func (e *Emulator) getAxon(c *call, _ *none) (*runloopapi.AxonView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, err := e.pathAxon(c)
	if err != nil {
		return nil, err
	}
	return a.copyView(), nil
}

func (e *Emulator) updateAxon(c *call, in *runloopapi.AxonUpdateParams) (*runloopapi.AxonView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, err := e.pathAxon(c)
	if err != nil {
		return nil, err
	}
	if in.Metadata != nil {
		a.view.Metadata = copyMetadata(in.Metadata)
	}
	return a.copyView(), nil
}

// deleteAxon deletes an axon, which ends the streams of its events.
func (e *Emulator) deleteAxon(c *call, _ *none) (none, error) {
	e.mu.Lock()
	a, err := e.pathAxon(c)
	if err == nil {
		a.deleted = true
		e.axons.remove(a.view.ID)
		e.notify()
	}
	e.mu.Unlock()
	if err != nil {
		return none{}, err
	}
	return none{}, a.closeStore()
}

func (e *Emulator) publish(c *call, in *runloopapi.AxonPublishParams) (*runloopapi.AxonPublishView, error) {
	switch in.Origin {
	case runloopapi.OriginExternal, runloopapi.OriginAgent, runloopapi.OriginUser:
	default:
		return nil, fail(http.StatusBadRequest, "origin: events of %q cannot be published", in.Origin)
	}
	if in.Source == "" || in.EventType == "" {
		return nil, fail(http.StatusBadRequest, "source and event_type must not be empty")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a, err := e.pathAxon(c)
	if err != nil {
		return nil, err
	}
	if len(a.events) >= maxAxonEvents {
		return nil, fail(http.StatusBadRequest, "the axon has %d events, the most that the emulator keeps", maxAxonEvents)
	}
	ev := runloopapi.AxonEvent{
		AxonID: a.view.ID, Sequence: int64(len(a.events)) + 1, Timestamp: runloopapi.MillisOf(time.Now()),
		Origin: in.Origin, Source: in.Source, EventType: in.EventType, Payload: in.Payload,
	}
	a.events = append(a.events, ev)
	e.notify()
	return &runloopapi.AxonPublishView{Sequence: ev.Sequence, Timestamp: ev.Timestamp}, nil
}

// listEvents lists events, the newest first. They have no identifiers: the cursor
// is a sequence number.
func (e *Emulator) listEvents(c *call, _ *none) (*page[*runloopapi.AxonEvent], error) {
	e.mu.Lock()
	a, err := e.pathAxon(c)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	events := slices.Clone(a.events)
	e.mu.Unlock()
	var t table[runloopapi.AxonEvent]
	for i := range events {
		t.add(strconv.FormatInt(events[i].Sequence, 10), &events[i])
	}
	return list(c, "events", &t, nil, func(ev *runloopapi.AxonEvent) *runloopapi.AxonEvent { return ev })
}

// subscribe streams the events behind a sequence number and then those that come.
// A stream on which nothing happens ends with an error event of code 408.
func (e *Emulator) subscribe(c *call) error {
	after, err := c.queryInt("after_sequence", 0)
	if err != nil {
		return err
	}
	if after < 0 {
		return fail(http.StatusBadRequest, "after_sequence must not be negative")
	}
	e.mu.Lock()
	a, err := e.pathAxon(c)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	ev := c.events()
	idle := time.Now().Add(e.opts.streamIdle)
	for over := false; !over; {
		var batch []runloopapi.AxonEvent
		_, err := e.await(c.r.Context(), min(heartbeat, time.Until(idle)), func() bool {
			over = a.deleted
			batch = slices.Clone(a.events[min(after, int64(len(a.events))):])
			return over || len(batch) > 0
		})
		switch {
		case err != nil: // the client or the emulator has gone
			over = true
		case len(batch) > 0:
			idle = time.Now().Add(e.opts.streamIdle)
		case !time.Now().Before(idle):
			over = true
			_ = ev.sendError(http.StatusRequestTimeout, "idle") // it ends anyhow
		default:
			over = over || ev.beat() != nil
		}
		for i := 0; i < len(batch) && !over; i++ {
			over = ev.send(batch[i]) != nil
			after = batch[i].Sequence
		}
	}
	return nil
}

// sendError sends an event that reports an error. A stream ends after it.
func (ev *events) sendError(code int, message string) error {
	if _, err := ev.w.Write([]byte("event: error\n")); err != nil {
		return err
	}
	return ev.send(map[string]any{"code": code, "message": message})
}

// closeAxons closes the stores of all axons.
func (e *Emulator) closeAxons() error {
	e.mu.Lock()
	var all []*axon
	for _, a := range e.axons.newest() {
		all = append(all, a)
	}
	e.mu.Unlock()
	var first error
	for _, a := range all {
		if err := a.closeStore(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
