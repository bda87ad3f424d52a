package runlooptest

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	prefixAPIKey        = "ak_"
	prefixRestrictedKey = "rk_"
	prefixKeyID         = "key_"
)

// apiKey is the record of a key that was made through the API. It never changes.
type apiKey struct {
	sum        [sha256.Size]byte // of the key
	expires    time.Time         // zero if never
	restricted bool
	scopes     map[runloopapi.ResourceType]runloopapi.AccessLevel
}

func (e *Emulator) routeAccounts() {
	created := time.Now().UTC().Format(time.RFC3339)
	handle(e, "GET /v1/accounts/me", "accounts.me", func(*call, *none) (*runloopapi.AccountView, error) {
		return &runloopapi.AccountView{
			ID: accountID, Name: "emulator", CreatedAt: created, Tier: runloopapi.AccountTierEnterprise,
			Status: runloopapi.AccountEnabled, BillingType: runloopapi.BillingStripe,
			Billing: runloopapi.AccountBilling{Type: runloopapi.BillingStripe},
		}, nil
	})
	handle(e, "POST /v1/apikeys", "api_keys.create", e.createAPIKey)
	handle(e, "POST /v1/restricted_keys", "restricted_keys.create", e.createRestrictedKey)
	e.hooks.authorize = e.authorizeKey
}

// newKey makes a key that lasts until a time; zero is for ever.
func (e *Emulator) newKey(prefix string, until runloopapi.Millis, k *apiKey) (id, secret string, expires *runloopapi.Millis, err error) {
	if until < 0 || until != 0 && !until.Time().After(time.Now()) {
		return "", "", nil, fail(http.StatusBadRequest, "expires_at_ms must be in the future")
	}
	id, secret = newID(prefixKeyID), newID(prefix)
	k.sum, k.expires = sha256.Sum256([]byte(secret)), until.Time()
	if until != 0 {
		expires = &until
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys.add(id, k)
	return id, secret, expires, nil
}

func (e *Emulator) createAPIKey(_ *call, in *runloopapi.APIKeyCreateParams) (*runloopapi.APIKeyView, error) {
	id, secret, expires, err := e.newKey(prefixAPIKey, in.ExpiresAt, &apiKey{})
	if err != nil {
		return nil, err
	}
	return &runloopapi.APIKeyView{ID: id, Name: in.Name, KeySecret: secret, ExpiresAt: expires}, nil
}

// resourceTypes are what access can be restricted to, by the first word of the
// names of the operations that they are about.
var resourceTypes = map[string]runloopapi.ResourceType{
	"devboxes": runloopapi.ResourceDevboxes, "executions": runloopapi.ResourceDevboxes, "pty": runloopapi.ResourceDevboxes,
	"snapshots": runloopapi.ResourceSnapshots, "disk_snapshots": runloopapi.ResourceSnapshots,
	"blueprints": runloopapi.ResourceBlueprints, "objects": runloopapi.ResourceObjects, "agents": runloopapi.ResourceAgents,
	"scenarios": runloopapi.ResourceScenarios, "scenario_runs": runloopapi.ResourceScenarios, "scorers": runloopapi.ResourceScenarios,
	"benchmarks": runloopapi.ResourceBenchmarks, "benchmark_runs": runloopapi.ResourceBenchmarks,
	"benchmark_jobs": runloopapi.ResourceBenchmarks,
}

// resourceTypeOf returns what an operation is about. What has no type of its own is
// the account's.
func resourceTypeOf(op string) runloopapi.ResourceType {
	first, _, _ := strings.Cut(op, ".")
	if t, ok := resourceTypes[first]; ok {
		return t
	}
	return runloopapi.ResourceAccount
}

func (e *Emulator) createRestrictedKey(_ *call, in *runloopapi.RestrictedKeyCreateParams) (*runloopapi.RestrictedKeyView, error) {
	k := &apiKey{restricted: true, scopes: map[runloopapi.ResourceType]runloopapi.AccessLevel{}}
	if len(in.Scopes) == 0 {
		return nil, fail(http.StatusBadRequest, "scopes must have one at least")
	}
	for _, s := range in.Scopes {
		if s.ResourceType != runloopapi.ResourceAccount && s.ResourceType != runloopapi.ResourceRepoConnections &&
			!isResourceType(s.ResourceType) {
			return nil, fail(http.StatusBadRequest, "scopes: there is no resource_type %q", s.ResourceType)
		}
		if !slices.Contains([]runloopapi.AccessLevel{runloopapi.AccessNone, runloopapi.AccessRead, runloopapi.AccessWrite}, s.AccessLevel) {
			return nil, fail(http.StatusBadRequest, "scopes: there is no access_level %q", s.AccessLevel)
		}
		if _, ok := k.scopes[s.ResourceType]; ok {
			return nil, fail(http.StatusBadRequest, "scopes: %q is there twice", s.ResourceType)
		}
		k.scopes[s.ResourceType] = s.AccessLevel
	}
	id, secret, expires, err := e.newKey(prefixRestrictedKey, in.ExpiresAt, k)
	if err != nil {
		return nil, err
	}
	return &runloopapi.RestrictedKeyView{ID: id, Name: in.Name, KeySecret: secret, Scopes: in.Scopes, ExpiresAt: expires}, nil
}

func isResourceType(t runloopapi.ResourceType) bool {
	for _, known := range resourceTypes {
		if known == t {
			return true
		}
	}
	return false
}

// authorizeKey checks a key that was made through the API: the error is a 401 if it
// is none, or has expired, and a 403 if it may not do what is asked for.
func (e *Emulator) authorizeKey(key, op, method string) error {
	sum := sha256.Sum256([]byte(key))
	e.mu.Lock()
	var found *apiKey
	for _, k := range e.keys.newest() {
		if k.sum == sum { // of sums, the time that this takes tells nothing
			found = k
		}
	}
	e.mu.Unlock()
	if found == nil || !found.expires.IsZero() && !time.Now().Before(found.expires) {
		return errKey
	}
	if !found.restricted {
		return nil
	}
	need := runloopapi.AccessWrite
	if method == http.MethodGet || method == http.MethodHead {
		need = runloopapi.AccessRead
	}
	t := resourceTypeOf(op)
	has := found.scopes[t]
	if has == runloopapi.AccessWrite || has == need {
		return nil
	}
	return fail(http.StatusForbidden, "the key has no %s for %s", need, t)
}

var errKey = fail(http.StatusUnauthorized, "the API key is not valid")
