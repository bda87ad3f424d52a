package runloopapi

// AccountView is the account that the client's key is of.
type AccountView struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	CreatedAt string         `json:"created_at"`
	Tier      AccountTier    `json:"tier"`
	Status    AccountStatus  `json:"account_status"`
	Billing   AccountBilling `json:"billing"`

	// Older than Billing.
	BillingType              BillingType `json:"account_billing_type,omitempty"`
	ActiveSubscription       string      `json:"active_subscription,omitempty"`
	ExternalBillingAccountID string      `json:"external_billing_account_id,omitempty"`
	StripeCustomerID         string      `json:"stripe_customer_id,omitempty"`
}

// AccountTier is what an account pays for.
type AccountTier string

// The tiers.
const (
	AccountTierInvalid    AccountTier = "ACCOUNT_TIER_INVALID"
	AccountTierBasic      AccountTier = "ACCOUNT_TIER_BASIC"
	AccountTierPro        AccountTier = "ACCOUNT_TIER_PRO"
	AccountTierEnterprise AccountTier = "ACCOUNT_TIER_ENTERPRISE"
	AccountTierTrial      AccountTier = "ACCOUNT_TIER_TRIAL"
)

// AccountStatus says whether an account can be used.
type AccountStatus string

// The states of an account.
const (
	AccountInvalid                AccountStatus = "ACCOUNT_STATUS_INVALID"
	AccountOnboarding             AccountStatus = "ACCOUNT_STATUS_ONBOARDING"
	AccountEnabled                AccountStatus = "ACCOUNT_STATUS_ENABLED"
	AccountDisabledByAdmin        AccountStatus = "ACCOUNT_STATUS_DISABLED_BY_ADMIN"
	AccountDisabledQuotaReached   AccountStatus = "ACCOUNT_STATUS_DISABLED_QUOTA_REACHED"
	AccountTrialCancelled         AccountStatus = "ACCOUNT_STATUS_TRIAL_CANCELLED"
	AccountStripePendingResources AccountStatus = "ACCOUNT_STATUS_STRIPE_PENDING_RESOURCES"
)

// BillingType says through whom an account pays.
type BillingType string

// The billing types.
const (
	BillingStripe         BillingType = "STRIPE"
	BillingAWSMarketplace BillingType = "AWS_MARKETPLACE"
	BillingStripeProjects BillingType = "STRIPE_PROJECTS"
)

// AccountBilling says how an account pays.
type AccountBilling struct {
	Type             BillingType    `json:"account_billing_type"`
	AWS              *AWSBilling    `json:"aws,omitempty"`
	Stripe           *StripeBilling `json:"stripe,omitempty"`
	StripeCustomerID string         `json:"stripe_customer_id,omitempty"`
}

// AWSBilling is a subscription on the marketplace of AWS.
type AWSBilling struct {
	CustomerIdentifier string `json:"customer_identifier,omitempty"`
	LicenseARN         string `json:"license_arn,omitempty"`
	SubscriptionStatus string `json:"subscription_status,omitempty"`
}

// StripeBilling is a subscription with Stripe.
type StripeBilling struct {
	ActiveSubscription string `json:"active_subscription,omitempty"`
	CustomerID         string `json:"customer_id,omitempty"`
}

// APIKeyCreateParams describe a new API key.
type APIKeyCreateParams struct {
	Name      string `json:"name,omitempty"`
	ExpiresAt Millis `json:"expires_at_ms,omitempty"` // 0: never
}

// APIKeyView is a new API key. The secret does not come a second time.
type APIKeyView struct {
	ID        string  `json:"id,omitempty"`
	Name      string  `json:"name,omitempty"`
	KeySecret string  `json:"key_secret,omitempty"`
	ExpiresAt *Millis `json:"expires_at_ms,omitempty"`
}

// AccessLevel is what a restricted key may do with a type of resource.
type AccessLevel string

// The access levels.
const (
	AccessNone  AccessLevel = "ACCESS_LEVEL_NONE"
	AccessRead  AccessLevel = "ACCESS_LEVEL_READ"
	AccessWrite AccessLevel = "ACCESS_LEVEL_WRITE"
)

// ResourceType is a type of resource that access can be restricted to.
type ResourceType string

// The types of resources.
const (
	ResourceDevboxes        ResourceType = "RESOURCE_TYPE_DEVBOXES"
	ResourceBlueprints      ResourceType = "RESOURCE_TYPE_BLUEPRINTS"
	ResourceSnapshots       ResourceType = "RESOURCE_TYPE_SNAPSHOTS"
	ResourceBenchmarks      ResourceType = "RESOURCE_TYPE_BENCHMARKS"
	ResourceScenarios       ResourceType = "RESOURCE_TYPE_SCENARIOS"
	ResourceRepoConnections ResourceType = "RESOURCE_TYPE_REPO_CONNECTIONS"
	ResourceAgents          ResourceType = "RESOURCE_TYPE_AGENTS"
	ResourceObjects         ResourceType = "RESOURCE_TYPE_OBJECTS"
	ResourceAccount         ResourceType = "RESOURCE_TYPE_ACCOUNT"
)

// KeyScope is what a restricted key may do with one type of resource.
type KeyScope struct {
	ResourceType ResourceType `json:"resource_type,omitempty"`
	AccessLevel  AccessLevel  `json:"access_level,omitempty"`
}

// RestrictedKeyCreateParams describe a new restricted key.
type RestrictedKeyCreateParams struct {
	Name      string     `json:"name,omitempty"`
	ExpiresAt Millis     `json:"expires_at_ms,omitempty"` // 0: never
	Scopes    []KeyScope `json:"scopes,omitempty"`
}

// RestrictedKeyView is a new restricted key. The secret does not come a second time.
type RestrictedKeyView struct {
	ID        string     `json:"id,omitempty"`
	Name      string     `json:"name,omitempty"`
	KeySecret string     `json:"key_secret,omitempty"`
	Scopes    []KeyScope `json:"scopes,omitempty"`
	ExpiresAt *Millis    `json:"expires_at_ms,omitempty"`
}
