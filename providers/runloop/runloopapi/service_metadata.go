package runloopapi

import "context"

// MetadataKeysView are the keys that the metadata of some resources has.
type MetadataKeysView struct {
	Keys []string `json:"keys,omitempty"`
}

// MetadataValuesView are the values that a key has in the metadata of some resources.
type MetadataValuesView struct {
	Key    string   `json:"key,omitempty"`
	Values []string `json:"values,omitempty"`
}

// MetadataKeys returns the keys in the metadata of the account's devboxes.
func (s *DevboxService) MetadataKeys(ctx context.Context, opts ...RequestOption) (*MetadataKeysView, error) {
	return get[MetadataKeysView](ctx, s.client, "/v1/devboxes/metadata/keys", nil, opts)
}

// MetadataValues returns the values that a key has in the metadata of the account's devboxes.
func (s *DevboxService) MetadataValues(
	ctx context.Context, key string, opts ...RequestOption,
) (*MetadataValuesView, error) {
	return get[MetadataValuesView](ctx, s.client, p("/v1/devboxes/metadata/keys/%s/values", key), nil, opts)
}

// MetadataKeys returns the keys in the metadata of the account's snapshots.
func (s *DiskSnapshotService) MetadataKeys(ctx context.Context, opts ...RequestOption) (*MetadataKeysView, error) {
	return get[MetadataKeysView](ctx, s.client, "/v1/devboxes/disk_snapshots/metadata/keys", nil, opts)
}

// MetadataValues returns the values that a key has in the metadata of the account's snapshots.
func (s *DiskSnapshotService) MetadataValues(
	ctx context.Context, key string, opts ...RequestOption,
) (*MetadataValuesView, error) {
	return get[MetadataValuesView](ctx, s.client, p("/v1/devboxes/disk_snapshots/metadata/keys/%s/values", key), nil, opts)
}

// PublicMetadataKeys returns the keys in the metadata of the snapshots that are open to all accounts.
func (s *DiskSnapshotService) PublicMetadataKeys(ctx context.Context, opts ...RequestOption) (*MetadataKeysView, error) {
	return get[MetadataKeysView](ctx, s.client, "/v1/devboxes/disk_snapshots/public/metadata/keys", nil, opts)
}

// PublicMetadataValues returns the values that a key has in the metadata of the snapshots that are open to all accounts.
func (s *DiskSnapshotService) PublicMetadataValues(
	ctx context.Context, key string, opts ...RequestOption,
) (*MetadataValuesView, error) {
	return get[MetadataValuesView](ctx, s.client, p("/v1/devboxes/disk_snapshots/public/metadata/keys/%s/values", key), nil, opts)
}

// MetadataKeys returns the keys in the metadata of the account's blueprints.
func (s *BlueprintService) MetadataKeys(ctx context.Context, opts ...RequestOption) (*MetadataKeysView, error) {
	return get[MetadataKeysView](ctx, s.client, "/v1/blueprints/metadata/keys", nil, opts)
}

// MetadataValues returns the values that a key has in the metadata of the account's blueprints.
func (s *BlueprintService) MetadataValues(
	ctx context.Context, key string, opts ...RequestOption,
) (*MetadataValuesView, error) {
	return get[MetadataValuesView](ctx, s.client, p("/v1/blueprints/metadata/keys/%s/values", key), nil, opts)
}

// PublicMetadataKeys returns the keys in the metadata of the blueprints that are open to all accounts.
func (s *BlueprintService) PublicMetadataKeys(ctx context.Context, opts ...RequestOption) (*MetadataKeysView, error) {
	return get[MetadataKeysView](ctx, s.client, "/v1/blueprints/public/metadata/keys", nil, opts)
}

// PublicMetadataValues returns the values that a key has in the metadata of the blueprints that are open to all accounts.
func (s *BlueprintService) PublicMetadataValues(
	ctx context.Context, key string, opts ...RequestOption,
) (*MetadataValuesView, error) {
	return get[MetadataValuesView](ctx, s.client, p("/v1/blueprints/public/metadata/keys/%s/values", key), nil, opts)
}

// MetadataKeys returns the keys in the metadata of the account's objects.
func (s *ObjectService) MetadataKeys(ctx context.Context, opts ...RequestOption) (*MetadataKeysView, error) {
	return get[MetadataKeysView](ctx, s.client, "/v1/objects/metadata/keys", nil, opts)
}

// MetadataValues returns the values that a key has in the metadata of the account's objects.
func (s *ObjectService) MetadataValues(
	ctx context.Context, key string, opts ...RequestOption,
) (*MetadataValuesView, error) {
	return get[MetadataValuesView](ctx, s.client, p("/v1/objects/metadata/keys/%s/values", key), nil, opts)
}

// MetadataKeys returns the keys in the metadata of the account's scenarios.
func (s *ScenarioService) MetadataKeys(ctx context.Context, opts ...RequestOption) (*MetadataKeysView, error) {
	return get[MetadataKeysView](ctx, s.client, "/v1/scenarios/metadata/keys", nil, opts)
}

// MetadataValues returns the values that a key has in the metadata of the account's scenarios.
func (s *ScenarioService) MetadataValues(
	ctx context.Context, key string, opts ...RequestOption,
) (*MetadataValuesView, error) {
	return get[MetadataValuesView](ctx, s.client, p("/v1/scenarios/metadata/keys/%s/values", key), nil, opts)
}

// MetadataKeys returns the keys in the metadata of the account's benchmarks.
func (s *BenchmarkService) MetadataKeys(ctx context.Context, opts ...RequestOption) (*MetadataKeysView, error) {
	return get[MetadataKeysView](ctx, s.client, "/v1/benchmarks/metadata/keys", nil, opts)
}

// MetadataValues returns the values that a key has in the metadata of the account's benchmarks.
func (s *BenchmarkService) MetadataValues(
	ctx context.Context, key string, opts ...RequestOption,
) (*MetadataValuesView, error) {
	return get[MetadataValuesView](ctx, s.client, p("/v1/benchmarks/metadata/keys/%s/values", key), nil, opts)
}
