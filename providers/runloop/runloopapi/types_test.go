package runloopapi

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnionsKeepTheirKind(t *testing.T) {
	tests := []struct {
		name string
		wire string
		into interface{ Type() string }
		kind string
	}{
		{"object mount", `{"type":"object_mount","object_id":"obj_1","object_path":"/a"}`, new(Mount), MountTypeObject},
		{"code mount", `{"type":"code_mount","repo_owner":"o","repo_name":"r"}`, new(Mount), MountTypeCode},
		{"file mount", `{"type":"file_mount","target":"/a","content":""}`, new(Mount), MountTypeFile},
		{"broker mount", `{"type":"broker_mount","axon_id":"axn_1","protocol":"acp"}`, new(Mount), MountTypeBroker},
		{"mount of another day", `{"type":"nfs_mount","host":"h","opts":[1,2]}`, new(Mount), "nfs_mount"},
		{"build context", `{"type":"object","object_id":"obj_1"}`, new(BuildContext), BuildContextTypeObject},
		{"scorer", `{"type":"custom_scorer","custom_scorer_type":"x","scorer_params":{"a":1}}`, new(ScorerSpec), ScorerTypeCustom},
		{"scorer without fields", `{"type":"command_scorer"}`, new(ScorerSpec), ScorerTypeCommand},
		{"job", `{"type":"harbor","inline_yaml":"a: b"}`, new(JobSpec), JobTypeHarbor},
		{"job source", `{"type":"benchmark","benchmark_id":"bmd_1"}`, new(JobSource), JobTypeBenchmark},
		{"agent of a job", `{"type":"job_agent","name":"a"}`, new(RunAgent), RunAgentTypeJob},
		{"agent elsewhere", `{"type":"external_api","info":"i"}`, new(RunAgent), RunAgentTypeExternal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.NoError(t, json.Unmarshal([]byte(test.wire), test.into))
			assert.Equal(t, test.kind, test.into.Type())
			again, err := json.Marshal(test.into)
			require.NoError(t, err)
			assert.JSONEq(t, test.wire, string(again))
			require.NoError(t, json.Unmarshal([]byte("null"), test.into))
			assert.Equal(t, test.kind, test.into.Type(), "null changes nothing")
		})
	}
}

func TestUnionsNeedExactlyOneKind(t *testing.T) {
	_, err := json.Marshal(DevboxCreateParams{Mounts: []Mount{{}}})
	assert.ErrorIs(t, err, errUnionUnset)
	_, err = json.Marshal(ScorerSpec{Command: &CommandScorer{}, BashScript: &BashScriptScorer{}})
	assert.ErrorIs(t, err, errUnionMany)
	assert.ErrorContains(t, err, "bash_script_scorer and command_scorer")
	assert.Empty(t, Mount{}.Type())
	assert.Error(t, json.Unmarshal([]byte(`{"type":7}`), new(Mount)))
}

func TestAgentMountHasBothKeys(t *testing.T) {
	data, err := json.Marshal(Mount{Agent: &AgentMount{AgentName: "claude", Path: "/opt"}})
	require.NoError(t, err)
	assert.JSONEq(t, `{"type":"agent_mount","agent_id":null,"agent_name":"claude","agent_path":"/opt"}`, string(data))
	var back Mount
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, &AgentMount{AgentName: "claude", Path: "/opt"}, back.Agent)
}

func TestUpdatesTellNothingFromEmpty(t *testing.T) {
	tests := []struct {
		name   string
		params any
		want   string
	}{
		{"nothing", DevboxUpdateParams{}, `{}`},
		{"empty map", DevboxUpdateParams{Metadata: map[string]string{}}, `{"metadata":{}}`},
		{"empty name", SnapshotUpdateParams{CommitMessage: Ptr("")}, `{"commit_message":""}`},
		{"no hosts", NetworkPolicyUpdateParams{AllowedHostnames: []string{}}, `{"allowed_hostnames":[]}`},
		{"false", NetworkPolicyUpdateParams{AllowAll: Ptr(false)}, `{"allow_all":false}`},
		{"no scenarios", BenchmarkUpdateParams{ScenarioIDs: []string{}}, `{"scenario_ids":[]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := json.Marshal(test.params)
			require.NoError(t, err)
			assert.JSONEq(t, test.want, string(data))
		})
	}
}

func TestViewsTakeWhatIsNew(t *testing.T) {
	var view DevboxView
	require.NoError(t, json.Unmarshal([]byte(`{"id":"dbx_1","status":"hibernating","end_time_ms":null,"capabilities":["teleport"],
		"novelty":{"a":[1]},"name":null,"launch_parameters":{"resource_size_request":"HUGE"}}`), &view))
	assert.Equal(t, DevboxStatus("hibernating"), view.Status)
	assert.False(t, view.Status.Final())
	assert.Nil(t, view.EndTime)
	assert.Equal(t, []DevboxCapability{"teleport"}, view.Capabilities)
	assert.Equal(t, ResourceSize("HUGE"), view.LaunchParameters.ResourceSize)
}

func TestMillis(t *testing.T) {
	at := time.Date(2026, 8, 20, 1, 2, 3, 4e6, time.FixedZone("x", 3600))
	assert.True(t, MillisOf(at).Time().Equal(at))
	assert.Equal(t, time.UTC, MillisOf(at).Time().Location())
	assert.Zero(t, MillisOf(time.Time{}))
	assert.True(t, Millis(0).Time().IsZero())
}

// Some hundred kilobytes that would be many gigabytes in memory.
func TestSQLRowsAreBounded(t *testing.T) {
	many := strings.Repeat("{},", 60_000) + "{}"
	err := json.Unmarshal([]byte(`{"columns":[`+many+`],"rows":[`+many+`]}`), new(SQLResult))
	require.Error(t, err)
}

func TestSQLRows(t *testing.T) {
	tests := []struct {
		name string
		rows string
		want []SQLRow
		fail bool
	}{
		{"arrays", `[[9007199254740993,"a"],[null,1.5]]`, []SQLRow{{json.Number("9007199254740993"), "a"}, {nil, json.Number("1.5")}}, false},
		{"objects", `[{"v":"a","id":9007199254740993},{"id":1}]`, []SQLRow{{json.Number("9007199254740993"), "a"}, {json.Number("1"), nil}}, false},
		{"none", `[]`, []SQLRow{}, false},
		{"neither", `["a"]`, nil, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var result SQLResult
			err := json.Unmarshal([]byte(`{"columns":[{"name":"id","type":"INTEGER"},{"name":"v","type":"TEXT"}],"rows":`+test.rows+
				`,"meta":{"duration_ms":0.25,"changes":0,"rows_read_limit_reached":true}}`), &result)
			if test.fail {
				assert.ErrorContains(t, err, "row 0")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, result.Rows)
			assert.Equal(t, SQLMeta{DurationMS: 0.25, RowsReadLimitReached: true}, result.Meta)
		})
	}
}
