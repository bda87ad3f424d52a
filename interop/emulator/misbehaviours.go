package main

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
)

func on(pattern string) *regexp.Regexp { return regexp.MustCompile("^" + pattern + "$") }

// misbehaviours are what the scripts must notice, one for each.
var misbehaviours = []misbehaviour{
	{
		"agents", "an agent from its creation to its end", "agents have no version",
		on("GET /v1/agents/agt_[^/]+"), set("version", ""),
	},
	{
		"axons", "events are replayed, and then come as they are published", "subscriptions begin at the beginning",
		on("GET /v1/axons/[^/]+/subscribe/sse"), query("after_sequence", "0"),
	},
	{
		"benchmarks", "a run whose score is the mean of its scenarios", "the score is another one",
		on("POST /v1/benchmark_runs/[^/]+/complete"), set("score", 1),
	},
	{
		"blueprints", "a blueprint from a Dockerfile and its context", "a deleted blueprint is not",
		on("GET /v1/blueprints/bpt_[^/]+"), set("state", "created"),
	},
	{
		"computesdk", "the address of a port", "the key of a tunnel is another one",
		on("POST /v1/devboxes/[^/]+/enable_tunnel"), set("tunnel_key", "other"),
	},
	{
		"devbox", "names and metadata change", "a change of metadata takes the name",
		on("POST /v1/devboxes/[^/]+"), set("name", nil),
	},
	{
		"errors", "what the emulator says itself", "what is not there is an error of the server",
		on("GET /v1/secrets/no_such_secret"), status(http.StatusNotFound, http.StatusInternalServerError),
	},
	{
		"executions", "a stream goes on behind the offset that it is given", "offsets are one too far",
		on("GET /v1/devboxes/[^/]+/executions/[^/]+/stream_stdout_updates"), farther,
	},
	{
		"files", "every byte goes in and comes out", "the last byte of a file is missing",
		on("POST /v1/devboxes/[^/]+/download_file"), body(func(b []byte) []byte { return b[:max(0, len(b)-1)] }),
	},
	{
		"gateways", "a gateway from its creation to its end", "a change takes the description",
		on("POST /v1/gateway-configs/gwc_[^/]+"), set("description", ""),
	},
	{
		"objects", "an object from its creation to its end", "an object can be completed twice",
		on("POST /v1/objects/[^/]+/complete"), status(http.StatusConflict, http.StatusOK),
	},
	{
		"policies", "a policy from its creation to its end", "a change takes the host names",
		on("POST /v1/network-policies/npol_[^/]+"), set("egress.allowed_hostnames", []string{}),
	},
	{
		"pty", "a session, its size, and its end", "every session is a new one",
		on("GET /pty/[^/]+"), set("created", true),
	},
	{
		"retries", "an answer that was lost is not a second devbox", "idempotency keys are forgotten",
		on("POST /v1/devboxes"), forgetful,
	},
	{
		"scenarios", "a run whose score is the weighted sum of its scorers", "the sum is another one",
		on("GET /v1/scenarios/runs/[^/]+"), set("scoring_contract_result.score", 0.5),
	},
	{
		"secrets", "a secret from its creation to its end", "the value is told",
		on("GET /v1/secrets/[^/]+"), set("value", "told"),
	},
	{
		"shells", "commands of a shell run one after the other", "what waits is said to run",
		on("GET /v1/devboxes/[^/]+/executions/[^/]+"), set("status", "running"),
	},
	{
		"snapshots", "snapshots are found by devbox and by metadata", "the oldest is first",
		on("GET /v1/devboxes/disk_snapshots"), object(func(v map[string]any) {
			if all, ok := v["snapshots"].([]any); ok {
				slices.Reverse(all)
			}
		}),
	},
	{
		"transport", "lists page by page", "the first page is the last",
		on("GET /v1/devboxes"), set("has_more", false),
	},
	{
		"tunnels", "an open tunnel", "traffic does not keep a devbox alive",
		on("POST /v1/devboxes/[^/]+/enable_tunnel"), set("http_keep_alive", false),
	},
}

// farther asks for what is behind the byte after the offset.
func farther(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if offset, _ := strconv.Atoi(r.URL.Query().Get("offset")); offset > 0 {
		query("offset", strconv.Itoa(offset+1))(w, r, next)
		return
	}
	next.ServeHTTP(w, r)
}

// forgetful does not tell that a request is a repetition.
func forgetful(w http.ResponseWriter, r *http.Request, next http.Handler) {
	r = r.Clone(r.Context())
	r.Header.Del("X-Request-Id")
	next.ServeHTTP(w, r)
}
