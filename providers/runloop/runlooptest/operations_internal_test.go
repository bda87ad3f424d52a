package runlooptest

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// operations are those that the vendor's clients of today call, by method and
// path. Braces hold the place of an identifier.
const operations = `
POST /v1/devboxes
POST /v1/devboxes/create_and_await_running
GET /v1/devboxes
GET /v1/devboxes/{dbx_}
POST /v1/devboxes/{dbx_}
POST /v1/devboxes/{dbx_}/wait_for_status
POST /v1/devboxes/{dbx_}/suspend
POST /v1/devboxes/{dbx_}/resume
POST /v1/devboxes/{dbx_}/shutdown
POST /v1/devboxes/{dbx_}/keep_alive
GET /v1/devboxes/{dbx_}/usage
GET /v1/devboxes/{dbx_}/logs
POST /v1/devboxes/{dbx_}/create_ssh_key
POST /v1/devboxes/{dbx_}/enable_tunnel
POST /v1/devboxes/{dbx_}/remove_tunnel
POST /v1/devboxes/{dbx_}/create_pty_tunnel
POST /v1/devboxes/{dbx_}/create_gateway_token
POST /v1/devboxes/{dbx_}/create_mcp_token
POST /v1/devboxes/{dbx_}/execute
POST /v1/devboxes/{dbx_}/execute_async
POST /v1/devboxes/{dbx_}/execute_sync
GET /v1/devboxes/{dbx_}/executions/{}
POST /v1/devboxes/{dbx_}/executions/{}/wait_for_status
POST /v1/devboxes/{dbx_}/executions/{}/kill
POST /v1/devboxes/{dbx_}/executions/{}/send_std_in
GET /v1/devboxes/{dbx_}/executions/{}/stream_stdout_updates
GET /v1/devboxes/{dbx_}/executions/{}/stream_stderr_updates
POST /v1/devboxes/{dbx_}/read_file_contents
POST /v1/devboxes/{dbx_}/write_file_contents
POST /v1/devboxes/{dbx_}/write_file
POST /v1/devboxes/{dbx_}/upload_file
POST /v1/devboxes/{dbx_}/download_file
POST /v1/devboxes/{dbx_}/snapshot_disk
POST /v1/devboxes/{dbx_}/snapshot_disk_async
GET /v1/devboxes/evictions/watch
GET /v1/devboxes/disk_snapshots
POST /v1/devboxes/disk_snapshots/{snp_}
POST /v1/devboxes/disk_snapshots/{snp_}/delete
GET /v1/devboxes/disk_snapshots/{snp_}/status
POST /v1/blueprints
POST /v1/blueprints/preview
GET /v1/blueprints
GET /v1/blueprints/list_public
GET /v1/blueprints/{bpt_}
GET /v1/blueprints/{bpt_}/logs
POST /v1/blueprints/{bpt_}/delete
POST /v1/objects
GET /v1/objects
GET /v1/objects/list_public
GET /v1/objects/{obj_}
POST /v1/objects/{obj_}/complete
GET /v1/objects/{obj_}/download
POST /v1/objects/{obj_}/delete
POST /v1/secrets
GET /v1/secrets
GET /v1/secrets/{sec_}
POST /v1/secrets/{sec_}
POST /v1/secrets/{sec_}/delete
POST /v1/network-policies
GET /v1/network-policies
GET /v1/network-policies/{npol_}
POST /v1/network-policies/{npol_}
POST /v1/network-policies/{npol_}/delete
POST /v1/gateway-configs
GET /v1/gateway-configs
GET /v1/gateway-configs/{gwc_}
POST /v1/gateway-configs/{gwc_}
POST /v1/gateway-configs/{gwc_}/delete
POST /v1/mcp-configs
GET /v1/mcp-configs
GET /v1/mcp-configs/{mcp_}
POST /v1/mcp-configs/{mcp_}
POST /v1/mcp-configs/{mcp_}/delete
POST /v1/agents
GET /v1/agents
GET /v1/agents/list_public
GET /v1/agents/devbox_counts
GET /v1/agents/{agt_}
POST /v1/agents/{agt_}/delete
POST /v1/axons
GET /v1/axons
GET /v1/axons/{axn_}
POST /v1/axons/{axn_}
DELETE /v1/axons/{axn_}
POST /v1/axons/{axn_}/publish
GET /v1/axons/{axn_}/events
GET /v1/axons/{axn_}/subscribe/sse
POST /v1/axons/{axn_}/sql/query
POST /v1/axons/{axn_}/sql/batch
POST /v1/scenarios
GET /v1/scenarios
GET /v1/scenarios/list_public
GET /v1/scenarios/{scn_}
POST /v1/scenarios/{scn_}
POST /v1/scenarios/{scn_}/archive
POST /v1/scenarios/start_run
GET /v1/scenarios/runs
GET /v1/scenarios/runs/{scr_}
POST /v1/scenarios/runs/{scr_}/score
POST /v1/scenarios/runs/{scr_}/complete
POST /v1/scenarios/runs/{scr_}/cancel
POST /v1/scenarios/runs/{scr_}/download_logs
POST /v1/scenarios/scorers
GET /v1/scenarios/scorers
GET /v1/scenarios/scorers/{scs_}
POST /v1/scenarios/scorers/{scs_}
POST /v1/benchmarks
GET /v1/benchmarks
GET /v1/benchmarks/list_public
GET /v1/benchmarks/{bmd_}
POST /v1/benchmarks/{bmd_}
GET /v1/benchmarks/{bmd_}/definitions
POST /v1/benchmarks/{bmd_}/scenarios
POST /v1/benchmarks/start_run
GET /v1/benchmark_runs
GET /v1/benchmark_runs/{bmr_}
POST /v1/benchmark_runs/{bmr_}/cancel
POST /v1/benchmark_runs/{bmr_}/complete
GET /v1/benchmark_runs/{bmr_}/scenario_runs
POST /v1/benchmark_jobs
GET /v1/benchmark_jobs
GET /v1/benchmark_jobs/{bmj_}
GET /v1/accounts/me
POST /v1/apikeys
POST /v1/restricted_keys
GET /pty/{}
POST /pty/{}/control
`

// routed returns the name of the operation that a request would be, or "".
func (e *Emulator) routed(t *testing.T, method, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://emulator"+path, nil)
	require.NoError(t, err)
	mux := e.muxes[subtree(path)]
	if mux == nil {
		mux = e.muxes[""]
	}
	_, pattern := mux.Handler(r)
	return pattern
}

var place = regexp.MustCompile(`\{(\w*)\}`)

// fill puts identifiers into the places of a path.
func fill(path string) string {
	return place.ReplaceAllStringFunc(path, func(p string) string {
		if prefix := strings.Trim(p, "{}"); strings.HasSuffix(prefix, "_") {
			return newID(prefix)
		}
		return newUUID()
	})
}

func TestEveryOperationIsServed(t *testing.T) {
	s := newStub(t)
	all := strings.Split(strings.TrimSpace(operations), "\n")
	assert.Len(t, all, 127) // 126 of today, and write_file, which they have not documented
	for _, op := range all {
		t.Run(op, func(t *testing.T) {
			method, path, _ := strings.Cut(op, " ")
			id := place.MatchString(path)
			path = fill(path)
			assert.NotEmpty(t, s.routed(t, method, path))
			if strings.HasSuffix(path, "/watch") || strings.HasPrefix(path, "/pty/") {
				return // a stream without an end; for the keys of terminals only
			}
			status, body := s.do(t, method, path, "{}")
			switch {
			case id && strings.HasSuffix(path, "upload_file"):
				assert.Contains(t, []int{400, 404, 415}, status, body) // the body is no form
			case id && status == 400: // what is wrong with the body comes first
				assert.NotContains(t, body, "malformed identifier")
			case id:
				assert.Equal(t, 404, status, body)
				assert.Contains(t, body, "not found")
				assert.NotContains(t, body, "no operation")
			default:
				assert.Contains(t, []int{200, 400}, status, body)
			}
		})
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	name := os.Getenv("COMPUTE_RUNLOOP_OPENAPI")
	if name == "" {
		name = filepath.Join("..", "..", "..", "..", "shared", "runloop", "openapi.yml")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Skip("the vendor's OpenAPI document is not there: ", err)
	}
	var doc struct {
		Paths map[string]map[string]any
	}
	require.NoError(t, yaml.Unmarshal(data, &doc))
	s := newStub(t)
	n := 0
	var missing []string
	for path, methods := range doc.Paths {
		for method := range methods {
			op := strings.ToUpper(method) + " " + path
			n++
			if s.routed(t, strings.ToUpper(method), place.ReplaceAllString(path, "x")) == "" {
				missing = append(missing, op)
			}
		}
	}
	assert.Equal(t, 150, n)
	assert.Empty(t, missing)
}

// A repository cannot be inspected, so that there is nothing to build from.
func TestCreateFromInspection(t *testing.T) {
	s := newStub(t)
	for body, want := range map[string]int{
		`{}`:           400,
		`{"name":"b"}`: 400,
		`{"name":"b","inspection_source":{"inspection_id":"rpi_1"}}`: 404,
	} {
		status, said := s.do(t, "POST", "/v1/blueprints/create_from_inspection", body)
		assert.Equal(t, want, status, said)
		assert.NotContains(t, said, "no operation POST")
	}
}
