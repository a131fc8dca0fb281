package bench

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed prices.json
var priceTable []byte

// Prices are list prices, USD.
type Prices struct {
	ReadOn             string  `json:"read_on"`
	Region             string  `json:"region"`
	FirestoreRead      float64 `json:"firestore_read"`
	FirestoreWrite     float64 `json:"firestore_write"`
	SecretAccess       float64 `json:"secret_access"`
	SecretVersionMonth float64 `json:"secret_version_month"`
	KMSOperation       float64 `json:"kms_operation"`
	KMSKeyVersionMonth float64 `json:"kms_key_version_month"`
	PubSubTiB          float64 `json:"pubsub_tib"`
	PubSubRequestBytes float64 `json:"pubsub_request_bytes"` // the least that a request is billed for
	RunVCPUSecond      float64 `json:"run_vcpu_second"`
	RunRequest         float64 `json:"run_request"`
	EgressGB           float64 `json:"egress_gb"`
}

func readPrices() (p Prices, err error) {
	if err := json.Unmarshal(priceTable, &p); err != nil {
		return p, fmt.Errorf("prices.json: %w", err)
	}
	return p, nil
}

// Cost is of 1,000 users and 30 days, USD.
type Cost struct {
	Name      string  `json:"name"`
	APICalls  float64 `json:"api_calls"` // database, keys: the scope in which the predecessor's figure is stated
	Store     float64 `json:"store"`
	Keys      float64 `json:"keys"`
	Messages  float64 `json:"messages"`
	Compute   float64 `json:"compute"`
	Egress    float64 `json:"egress"`
	Total     float64 `json:"total"`
	PerUser   Ops     `json:"ops_per_user_and_month"`
	FixedTick Ops     `json:"ops_per_tick_besides"`
}

// What a message and a broker call weigh, bytes.
const (
	messageBytes = 350 // a sync request with its attributes; the bench prints what it measured
	egressBytes  = 450 // an account request with its headers, and TLS's own
	usersPriced  = 1000
	ticksPerDay  = 24 * 60
	daysPerMonth = 30
	tradingDays  = 21
)

// costOf prices a month of 1,000 users. cpu is milliseconds a sync, measured.
func costOf(name string, p Prices, m Month, cpu float64) Cost {
	n := float64(usersPriced)
	ticks := float64(ticksPerDay * daysPerMonth)
	u, f := m.PerUser, m.Fixed
	c := Cost{Name: name, PerUser: u, FixedTick: f}
	c.Store = (n*u.Reads+ticks*f.Reads)*p.FirestoreRead + (n*u.Writes+ticks*f.Writes)*p.FirestoreWrite
	c.Keys = n*u.Accesses*p.SecretAccess + ticks*f.KMS*p.KMSOperation
	if m.Envelope { // the ciphertexts are reads of the store
		c.Keys += p.KMSKeyVersionMonth
	} else {
		c.Keys += n * p.SecretVersionMonth
	}
	c.APICalls = c.Store + c.Keys
	bytes := n * u.Messages * (messageBytes + max(messageBytes, p.PubSubRequestBytes)) // published in batches, pushed one by one
	c.Messages = bytes / (1 << 40) * p.PubSubTiB
	c.Compute = n*u.Events*p.RunRequest + n*u.Messages*cpu/1000*p.RunVCPUSecond + ticks*p.RunRequest
	c.Egress = n * u.Calls * egressBytes / 1e9 * p.EgressGB
	c.Total = c.APICalls + c.Messages + c.Compute + c.Egress
	return c
}

// predecessorMonth: one read, one access, one call and one write each minute.
func predecessorMonth() Month {
	each := float64(ticksPerDay * daysPerMonth)
	return Month{PerUser: Ops{Reads: each, Writes: each, Accesses: each, Calls: each}}
}
