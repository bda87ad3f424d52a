package runlooptest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/stub"
)

func TestSecrets(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := post[runloopapi.SecretView](t, s, "/secrets", `{"name":"DB_PASS-1","value":"hidden $x'\""}`)
		assert.True(t, strings.HasPrefix(v.ID, "sec_"))
		assert.Contains(t, refused(t, s, 400, "POST", "/secrets", `{"name":"DB_PASS-1","value":"x"}`), "already")
		for _, name := range []string{"", "!@#", "a b", strings.Repeat("a", 256)} {
			refused(t, s, 400, "POST", "/secrets", fmt.Sprintf(`{"name":%q,"value":"x"}`, name))
		}
		refused(t, s, 404, "GET", "/secrets/other", "")
		refused(t, s, 404, "POST", "/secrets/other", `{"value":"x"}`)
		refused(t, s, 404, "POST", "/secrets/other/delete", "{}")
		for _, path := range []string{"/v1/secrets", "/v1/secrets/DB_PASS-1"} {
			status, body := s.do(t, "GET", path, "")
			assert.Equal(t, 200, status)
			assert.Contains(t, body, v.ID)
			assert.NotContains(t, body, "hidden")
		}
		box := newRunning(t, s, `{"secrets":{"PW":"DB_PASS-1"}}`)
		assert.Equal(t, `hidden $x'"`, *run(t, s, box.ID, `printf %s "$PW"`, "").Stdout)
		post[runloopapi.SecretView](t, s, "/secrets/DB_PASS-1", `{"value":"new"}`)
		box = newRunning(t, s, fmt.Sprintf(`{"secrets":{"PW":%q}}`, v.ID))
		assert.Equal(t, "new", *run(t, s, box.ID, `printf %s "$PW"`, "").Stdout)
		post[runloopapi.SecretView](t, s, "/secrets/DB_PASS-1/delete", "{}")
		assert.Contains(t, refused(t, s, 400, "POST", "/devboxes", `{"secrets":{"PW":"DB_PASS-1"}}`), "DB_PASS-1")
		post[runloopapi.SecretView](t, s, "/secrets", `{"name":"DB_PASS-1","value":"again"}`)
	})
}

func TestNetworkPolicies(t *testing.T) {
	s := newStub(t)
	v := post[runloopapi.NetworkPolicyView](t, s, "/network-policies", `{"name":"p","description":"d","allow_agent_gateway":true,"allowed_hostnames":["a.example","*.b.example"],
		"allowed_cidrs":[{"cidr":"10.0.0.0/8","ports":[{"port":80,"end_port":81},{"port":443,"protocol":"TCP"}]},{"cidr":"2001:db8::/32"}]}`)
	assert.True(t, strings.HasPrefix(v.ID, "npol_"))
	assert.False(t, v.Egress.AllowAll)
	n, err := s.policyOf(v.ID)
	require.NoError(t, err)
	assert.Equal(t, []string{"a.example", "*.b.example", "10.0.0.0/8:80", "10.0.0.0/8:81", "10.0.0.0/8:443", "2001:db8::/32",
		strings.TrimPrefix(s.URL, "http://")}, n.Allow)

	up := post[runloopapi.NetworkPolicyView](t, s, "/network-policies/"+v.ID, `{"allowed_hostnames":[],"allow_mcp_gateway":true}`)
	assert.Equal(t, "d", up.Description)
	assert.Empty(t, up.Egress.AllowedHostnames)
	assert.Len(t, up.Egress.AllowedCIDRs, 2)
	assert.True(t, up.Egress.AllowAgentGateway && up.Egress.AllowMCPGateway)
	up = post[runloopapi.NetworkPolicyView](t, s, "/network-policies/"+v.ID, `{"allow_all":true}`)
	assert.True(t, up.Egress.AllowDevboxToDevbox, "it follows")

	none := post[runloopapi.NetworkPolicyView](t, s, "/network-policies", `{"name":"none"}`)
	status, body := s.do(t, "GET", "/v1/network-policies/"+none.ID, "")
	assert.Equal(t, 200, status)
	assert.Contains(t, body, `"allowed_hostnames":[]`)
	box := newRunning(t, s, fmt.Sprintf(`{"launch_parameters":{"network_policy_id":%q}}`, none.ID))
	assert.Equal(t, none.ID, box.LaunchParameters.NetworkPolicyID)
	sb, _ := compute.As[*stub.Sandbox](s.sandboxOf(t, box.ID))
	assert.Equal(t, &compute.NetworkPolicy{Allow: []string{}}, sb.NetworkPolicy())
	assert.Contains(t, refused(t, s, 400, "POST", "/network-policies/"+none.ID+"/delete", "{}"), box.ID)
	post[runloopapi.DevboxView](t, s, "/devboxes/"+box.ID+"/shutdown", "")
	assert.Equal(t, "none", post[runloopapi.NetworkPolicyView](t, s, "/network-policies/"+none.ID+"/delete", "{}").Name)
	refused(t, s, 404, "GET", "/network-policies/"+none.ID, "")
	refused(t, s, 404, "POST", "/network-policies/"+none.ID, "{}")
	refused(t, s, 404, "POST", "/network-policies/"+none.ID+"/delete", "{}")
	assert.Len(t, get[runloopapi.NetworkPolicyListView](t, s, "/network-policies?search=P&id="+v.ID).NetworkPolicies, 1)
	assert.Empty(t, get[runloopapi.NetworkPolicyListView](t, s, "/network-policies?name=x").NetworkPolicies)

	for body, message := range map[string]string{
		`{}`:           "name",
		`{"name":"p"}`: "already",
		`{"name":"q","allowed_hostnames":["a.*.example"]}`:                                            "a.*.example",
		`{"name":"q","allowed_hostnames":["http://a"]}`:                                               "http://a",
		`{"name":"q","allowed_cidrs":[{"cidr":"10.0.0.0"}]}`:                                          "10.0.0.0",
		`{"name":"q","allowed_cidrs":[{"cidr":"10.0.0.0/8","ports":[{"port":0}]}]}`:                   "ports",
		`{"name":"q","allowed_cidrs":[{"cidr":"10.0.0.0/8","ports":[{"port":9,"end_port":8}]}]}`:      "ports",
		`{"name":"q","allowed_cidrs":[{"cidr":"10.0.0.0/8","ports":[{"port":70000}]}]}`:               "ports",
		`{"name":"q","allowed_cidrs":[{"cidr":"10.0.0.0/8","ports":[{"port":9,"protocol":"SCTP"}]}]}`: "SCTP",
	} {
		assert.Contains(t, refused(t, s, 400, "POST", "/network-policies", body), message)
	}
	for i := range maxPolicies - 1 {
		post[runloopapi.NetworkPolicyView](t, s, "/network-policies", fmt.Sprintf(`{"name":"n%d"}`, i))
	}
	assert.Contains(t, refused(t, s, 400, "POST", "/network-policies", `{"name":"over"}`), "100")
}

func TestPoliciesThatABackendCannotHave(t *testing.T) {
	s := newStub(t)
	for ports, message := range map[string]string{
		`{"port":53,"protocol":"UDP"}`: "UDP",
		`{"port":1,"end_port":1000}`:   "256",
	} {
		v := post[runloopapi.NetworkPolicyView](t, s, "/network-policies",
			fmt.Sprintf(`{"name":%q,"allowed_cidrs":[{"cidr":"10.0.0.0/8","ports":[%s]}]}`, message, ports))
		assert.Contains(t, refused(t, s, 501, "POST", "/devboxes", fmt.Sprintf(`{"launch_parameters":{"network_policy_id":%q}}`, v.ID)), message)
	}
}

// sandboxOf returns the sandbox of a devbox.
func (s *Server) sandboxOf(t *testing.T, id string) compute.Sandbox {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.devboxes.get("devbox", id)
	require.NoError(t, err)
	return d.sb
}

// seen is what an endpoint has got.
type seen struct {
	Method, Path, Query, Body, Host string
	Header                          http.Header
}

// newEcho returns the URL of an endpoint that answers with what it gets.
func newEcho(t *testing.T) string {
	return newHandler(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.Header().Set("X-Echo", "yes")
		w.WriteHeader(http.StatusTeapot)
		assert.NoError(t, json.NewEncoder(w).Encode(seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body), r.Host, r.Header}))
	})
}

// newHandler returns the URL of a server.
func newHandler(t *testing.T, f http.HandlerFunc) string {
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestGateways(t *testing.T) {
	s := newStub(t)
	endpoint := newEcho(t)
	post[runloopapi.SecretView](t, s, "/secrets", `{"name":"cred","value":"user:s3cret"}`)
	post[runloopapi.SecretView](t, s, "/secrets", `{"name":"org","value":"org-1"}`)
	box := newRunning(t, s, "{}")
	ask := func(token runloopapi.GatewayTokenView, header ...string) (int, seen, string) {
		status, h, body := fetch(t, s, "POST", token.URL+"/v1/a%2Fb?x=1&y=%20", "the body", header...)
		var got seen
		if h.Get("X-Echo") == "yes" {
			require.NoError(t, json.Unmarshal([]byte(body), &got))
		}
		return status, got, body
	}
	tests := []struct{ name, auth, header, value string }{
		{"bearer", `{"type":"bearer"}`, "Authorization", "Bearer user:s3cret"},
		{"basic", `{"type":"basic"}`, "Authorization", "Basic dXNlcjpzM2NyZXQ="},
		{"header", `{"type":"header","key":"x-api-key"}`, "X-Api-Key", "user:s3cret"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conf := post[runloopapi.GatewayConfigView](t, s, "/gateway-configs", fmt.Sprintf(
				`{"name":%q,"endpoint":"%s/base/","auth_mechanism":%s,"custom_headers":[{"name":"X-Org","secret":"org"},{"name":"X-Fixed","value":"f"}]}`, tt.name, endpoint, tt.auth))
			token := post[runloopapi.GatewayTokenView](t, s, "/devboxes/"+box.ID+"/create_gateway_token", fmt.Sprintf(`{"gateway":%q,"secret":"cred"}`, tt.name))
			assert.True(t, strings.HasPrefix(token.Token, "gws_"))
			assert.Equal(t, conf.ID, token.GatewayConfigID)
			assert.Equal(t, conf.Endpoint, token.Endpoint)
			assert.NotContains(t, fmt.Sprint(token), "s3cret")
			for _, header := range [][]string{{"Authorization", "Bearer " + token.Token}, {"X-Api-Key", token.Token}} {
				status, got, body := ask(token, header...)
				require.Equal(t, 418, status, body)
				assert.Equal(t, "POST", got.Method)
				assert.Equal(t, "/base/v1/a%2Fb", got.Path)
				assert.Equal(t, "x=1&y=%20", got.Query)
				assert.Equal(t, "the body", got.Body)
				assert.Equal(t, strings.TrimPrefix(endpoint, "http://"), got.Host)
				assert.Equal(t, tt.value, got.Header.Get(tt.header))
				assert.Equal(t, "org-1", got.Header.Get("X-Org"))
				assert.Equal(t, "f", got.Header.Get("X-Fixed"))
				assert.NotContains(t, fmt.Sprint(got), "gws_", "the token does not leave")
			}
			status, _, _ := ask(token)
			assert.Equal(t, 401, status, "no token")
			for _, i := range []int{4, 30, 60, len(token.Token) - 1} {
				forged := []byte(token.Token)
				forged[i] ^= 1
				status, _, _ = ask(token, "Authorization", "Bearer "+string(forged))
				assert.Equal(t, 401, status, "forged")
			}
			assert.Equal(t, tt.name, post[runloopapi.GatewayConfigView](t, s, "/gateway-configs/"+conf.ID+"/delete", "{}").Name)
			status, _, _ = ask(token, "Authorization", "Bearer "+token.Token)
			assert.Equal(t, 401, status, "its configuration has gone")
		})
	}
}

func TestGatewaysOfDevboxes(t *testing.T) {
	s := newStub(t)
	endpoint := newEcho(t)
	post[runloopapi.SecretView](t, s, "/secrets", `{"name":"cred","value":"s3cret"}`)
	conf := post[runloopapi.GatewayConfigView](t, s, "/gateway-configs", fmt.Sprintf(`{"name":"g","endpoint":%q,"auth_mechanism":{"type":"bearer"}}`, endpoint))
	box := newRunning(t, s, `{"gateways":{"API":{"gateway":"g","secret":"cred"}}}`)
	assert.Equal(t, conf.ID, box.GatewaySpecs["API"].GatewayConfigID)
	out := strings.Fields(*run(t, s, box.ID, `echo "$API_URL $API"`, "").Stdout)
	require.Len(t, out, 2)
	status, _, body := fetch(t, s, "GET", out[0]+"/x", "", "Authorization", "Bearer "+out[1])
	assert.Equal(t, 418, status)
	assert.Contains(t, body, "Bearer s3cret")

	assert.Contains(t, refused(t, s, 400, "POST", "/gateway-configs/"+conf.ID+"/delete", "{}"), box.ID)
	post[runloopapi.DevboxView](t, s, "/devboxes/"+box.ID+"/shutdown", "")
	status, _, _ = fetch(t, s, "GET", out[0]+"/x", "", "Authorization", "Bearer "+out[1])
	assert.Equal(t, 401, status, "the devbox has gone")
	refused(t, s, 400, "POST", "/devboxes/"+box.ID+"/create_gateway_token", `{"gateway":"g","secret":"cred"}`)
	refused(t, s, 404, "POST", "/devboxes/"+newID(prefixDevbox)+"/create_gateway_token", `{"gateway":"g","secret":"cred"}`)
	assert.Contains(t, refused(t, s, 400, "POST", "/devboxes", `{"gateways":{"API":{"gateway":"g","secret":"no"}}}`), "secret")
	post[runloopapi.GatewayConfigView](t, s, "/gateway-configs/"+conf.ID+"/delete", "{}")
}

func TestGatewayConfigs(t *testing.T) {
	s := newStub(t)
	list := get[runloopapi.GatewayConfigListView](t, s, "/gateway-configs").GatewayConfigs
	require.Len(t, list, 2, "the service's own")
	assert.Empty(t, list[0].AccountID)
	refused(t, s, 403, "POST", "/gateway-configs/"+list[0].ID, `{"name":"x"}`)
	refused(t, s, 403, "POST", "/gateway-configs/"+list[0].ID+"/delete", "{}")

	v := post[runloopapi.GatewayConfigView](t, s, "/gateway-configs", `{"name":"g","endpoint":"https://a.example","auth_mechanism":{"type":"bearer"},"description":"d"}`)
	assert.NotEmpty(t, v.AccountID)
	v = post[runloopapi.GatewayConfigView](t, s, "/gateway-configs/"+v.ID, `{"auth_mechanism":{"type":"header","key":"X-Key"},"custom_headers":[{"name":"A","value":"b"}]}`)
	assert.Equal(t, "d", v.Description)
	assert.Equal(t, "X-Key", v.AuthMechanism.Key)
	v = post[runloopapi.GatewayConfigView](t, s, "/gateway-configs/"+v.ID, `{"custom_headers":[]}`)
	assert.Empty(t, v.CustomHeaders)
	assert.Len(t, get[runloopapi.GatewayConfigListView](t, s, "/gateway-configs?name=g&search=g&id="+v.ID).GatewayConfigs, 1)
	refused(t, s, 404, "GET", "/gateway-configs/"+newID(prefixGateway), "")
	nine := strings.TrimSuffix(strings.Repeat(`{"name":"A","value":"b"},`, 9), ",")
	for body, message := range map[string]string{
		`{"endpoint":"https://a","auth_mechanism":{"type":"bearer"}}`:                                                                     "name",
		`{"name":"g","endpoint":"https://a","auth_mechanism":{"type":"bearer"}}`:                                                          "already",
		`{"name":"h","endpoint":"ftp://a","auth_mechanism":{"type":"bearer"}}`:                                                            "endpoint",
		`{"name":"h","endpoint":"https://u:p@a","auth_mechanism":{"type":"bearer"}}`:                                                      "endpoint",
		`{"name":"h","endpoint":"https://a","auth_mechanism":{"type":"cookie"}}`:                                                          "cookie",
		`{"name":"h","endpoint":"https://a","auth_mechanism":{"type":"header"}}`:                                                          "key",
		`{"name":"h","endpoint":"https://a","auth_mechanism":{"type":"header","key":"a b"}}`:                                              "key",
		`{"name":"h","endpoint":"https://a","auth_mechanism":{"type":"bearer","key":"x"}}`:                                                "key",
		`{"name":"h","endpoint":"https://a","auth_mechanism":{"type":"bearer"},"custom_headers":[{"name":"a\nb","value":"x"}]}`:           "no header",
		`{"name":"h","endpoint":"https://a","auth_mechanism":{"type":"bearer"},"custom_headers":[{"name":"a","value":"x","secret":"y"}]}`: "either",
		`{"name":"h","endpoint":"https://a","auth_mechanism":{"type":"bearer"},"custom_headers":[` + nine + `]}`:                          "8",
	} {
		assert.Contains(t, refused(t, s, 400, "POST", "/gateway-configs", body), message)
	}
}

func TestKeys(t *testing.T) {
	s := newStub(t)
	key := post[runloopapi.APIKeyView](t, s, "/apikeys", `{"name":"k"}`)
	assert.True(t, strings.HasPrefix(key.KeySecret, "ak_"))
	status, body := s.do(t, "GET", "/v1/accounts/me", "", "Authorization", "Bearer "+key.KeySecret)
	assert.Equal(t, 200, status, body)
	assert.Contains(t, body, "ACCOUNT_STATUS_ENABLED")
	refused(t, s, 400, "POST", "/apikeys", `{"expires_at_ms":1}`)

	limited := post[runloopapi.RestrictedKeyView](t, s, "/restricted_keys", `{"name":"r","scopes":[
		{"resource_type":"RESOURCE_TYPE_OBJECTS","access_level":"ACCESS_LEVEL_READ"},{"resource_type":"RESOURCE_TYPE_AGENTS","access_level":"ACCESS_LEVEL_WRITE"}]}`)
	assert.True(t, strings.HasPrefix(limited.KeySecret, "rk_"))
	assert.Len(t, limited.Scopes, 2)
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/objects", "", 200},
		{"POST", "/v1/objects", `{"name":"a","content_type":"text"}`, 403},
		{"GET", "/v1/agents", "", 200},
		{"POST", "/v1/agents", `{"name":"a"}`, 200},
		{"GET", "/v1/devboxes", "", 403},
		{"GET", "/v1/secrets", "", 403},
		{"POST", "/v1/apikeys", "{}", 403},
	} {
		status, body := s.do(t, tt.method, tt.path, tt.body, "Authorization", "Bearer "+limited.KeySecret)
		assert.Equal(t, tt.status, status, "%s %s: %s", tt.method, tt.path, body)
	}
	for _, scopes := range []string{``, `{"resource_type":"X","access_level":"ACCESS_LEVEL_READ"}`, `{"resource_type":"RESOURCE_TYPE_OBJECTS","access_level":"ALL"}`} {
		assert.Contains(t, refused(t, s, 400, "POST", "/restricted_keys", `{"scopes":[`+scopes+`]}`), "scopes")
	}
}

// outsideAddress returns an address of this machine that is not on a loopback
// interface.
func outsideAddress(t *testing.T) string {
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but those of loopback interfaces")
	return ""
}

func TestGatewaysFromInside(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("sandboxes have no curl: ", err)
	}
	address := outsideAddress(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", address+":0")
	require.NoError(t, err)
	s := newLocal(t, WithInsideURL("http://"+l.Addr().String()))
	front := &http.Server{Handler: s.Emulator, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- front.Serve(l) }()
	t.Cleanup(func() { front.Close(); <-served })

	endpoint := newEcho(t)
	post[runloopapi.SecretView](t, s, "/secrets", `{"name":"cred","value":"s3cret"}`)
	post[runloopapi.GatewayConfigView](t, s, "/gateway-configs", fmt.Sprintf(`{"name":"g","endpoint":%q,"auth_mechanism":{"type":"bearer"}}`, endpoint))
	for allowed, reached := range map[string]bool{"true": true, "false": false} {
		policy := post[runloopapi.NetworkPolicyView](t, s, "/network-policies", fmt.Sprintf(`{"name":"gateway-%s","allow_agent_gateway":%s}`, allowed, allowed))
		box := newRunning(t, s, fmt.Sprintf(`{"launch_parameters":{"network_policy_id":%q},"gateways":{"API":{"gateway":"g","secret":"cred"}}}`, policy.ID))
		out := run(t, s, box.ID, `curl -sS -o answer -w '%{http_code}' -H "Authorization: Bearer $API" "$API_URL/x" && grep -o 'Bearer s3cret' answer`, "")
		if reached {
			assert.Equal(t, "418Bearer s3cret\n", *out.Stdout, *out.Stderr)
		} else {
			assert.NotContains(t, *out.Stdout, "418", "the policy does not allow it")
		}
	}
}
