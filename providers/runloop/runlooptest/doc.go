// Package runlooptest is an emulator of Runloop's REST API, for programs that
// talk to Runloop and are to be tested without an account or a network. Its
// devboxes are sandboxes of any [compute.Compute]:
//
//	s := runlooptest.NewServer(t, runlooptest.WithBackend(stub.New(stub.Config{})))
//	// s.URL is the base URL, s.APIKey() the key
//
// The command runloop-emulator is the same for programs in other languages.
//
// [Emulator.Inject] makes requests fail in the ways in which they fail on a
// network; [Emulator.Requests] and [Emulator.Counts] tell what was asked.
//
// # Where the real service is not known
//
// Nobody has compared the emulator with the service itself. It does what the
// vendor's OpenAPI document, clients and tests say. Where they are silent: a
// malformed identifier is answered with 400 and one that is not known with 404;
// lists begin with the newest; an idempotency key (X-Request-Id) is remembered
// for a minute, and refused with 422 if it comes back with another body in JSON;
// what is final and has the status 409 says X-Should-Retry: false.
//
// Output is kept and streamed by the byte, and offsets count bytes. JSON cannot
// hold what is not UTF-8: there it is U+FFFD, one for each byte. Files that are
// uploaded and downloaded are as they are.
//
// The last line that a scorer prints is the score, with or without "score=". A
// custom scorer finds its parameters in RL_SCORER_CONTEXT; other scripts find the
// scenario's identifier, input context and reference output there, and the run's
// identifier. When the time for scoring is over, the run ends with the state
// timeout. Tokens of gateways and MCP servers work while their devbox runs, and
// name tools with or without the service in front. The cursor of a list of an
// axon's events is a sequence number. Of a batch of SQL all is undone when a
// statement fails, and those after it are not run.
//
// Upload URLs are good for a week, and take bytes until the object is complete.
// An object to which nothing was uploaded cannot be completed. Only
// [Emulator.MakePublic] makes something public.
//
// # What it does not do
//
// Sizes and architectures of devboxes are checked, reported and accounted for,
// and not enforced. The user of a devbox is the backend's unless user_parameters
// name one; there is no sudo but the backend's. A kill ends the children of a
// command whether or not the process group was asked for. SSH is spoken at the
// host and port that the key comes with, without TLS around it. A tunnel is
// {port}-{key}.tunnel.<anything> in the header Host, or /tunnel/{port}-{key}/ in
// the path for clients that cannot resolve such names; there is no other host.
// There are no public blueprints and snapshots. A base blueprint is built again
// with what is built on it.
//
// Gateways, MCP servers and tunnels are at the emulator's own address, which a
// devbox reaches if the backend and its policy let it, see [WithInsideURL]. That a
// policy allows the service's mirrors of package registries has no effect: there
// are none. A change of a policy is for the devboxes that are made after it.
// Benchmark jobs run agents in the service: here they stay queued. Events of axons
// do not resume devboxes. Every operation that the vendor's clients call is there,
// and every one of the vendor's document; POST /v1/blueprints/create_from_inspection
// finds no inspection, as no operation makes one. Of those that were removed there
// is the validation of scorers alone.
//
// These are answered with status 501 and a message: services beside a devbox,
// secrets and network policies of a build without [WithBuild], secrets for
// system_setup_commands, connections to repositories, policies for UDP alone or
// for ranges of more than 256 ports, SQL without a driver (see [WithSQL]), and what
// the backend cannot do, such as suspending. A devbox, snapshot or blueprint fails
// where the backend says so only later; so does a devbox with a broker mount, or
// with an agent from npm or pip, for which it would need a package registry. Scoring functions end with the state error for the same
// reason, and where the devbox has no python3 or ast-grep.
//
// # Adding a resource
//
// Each resource has a file, a table of records in the struct resources, and a
// method called by Emulator.routes that adds its operations:
//
//	func (e *Emulator) routeThings() {
//		handle(e, "GET /v1/things/{id}", "things.get", e.getThing)
//		handle(e, "GET /v1/things", "things.list", e.listThings)
//	}
//
//	func (e *Emulator) getThing(c *call, _ *none) (*runloopapi.ThingView, error) {
//		id, err := c.id("id", prefixThing) // 400 if malformed
//		if err != nil {
//			return nil, err
//		}
//		e.mu.Lock()
//		defer e.mu.Unlock()
//		t, err := e.things.get("thing", id) // 404 if not known
//		if err != nil {
//			return nil, err
//		}
//		return t.view(), nil // a copy: it is encoded when mu is free again
//	}
//
// Bodies are decoded, and answers encoded, with the types of package runloopapi;
// none is an empty one. Errors are made by fail, final (statuses that clients
// would retry in vain) and unsupported (501). Tables and records belong to
// Emulator.mu, which is never held across calls to the backend or I/O. Whatever
// changes a record does so within change, or calls notify, so that those who wait
// with await see it. Work that outlives its request goes to spawnLocked: it has a
// context that ends with the emulator, and Close waits for it. What a devbox or blueprint
// wants to know of another resource is a field of the struct hooks that the
// resource's route method sets. An operation that needs no key, or streams, is
// added with Emulator.add.
package runlooptest
