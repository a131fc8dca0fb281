package account_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
)

const (
	ofU      = "users/u/alpacaAccounts/snapshot"
	ofTenant = "tenants/t/accounts/primary"
	global   = "alpacaAccounts/snapshot"

	stale       = "Warm-cache buying power unavailable/zero or snapshot stale; refusing to generate trade."
	unavailable = "Warm-cache buying power unavailable/zero; refusing to trade."
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// reader reads what the documents hold at noon.
func reader(t *testing.T, phase account.Phase, docs map[string]document.Fields) *account.Reader {
	t.Helper()
	db := mem.NewDB(time.Now)
	for path, f := range docs {
		if err := db.Set(t.Context(), path, f); err != nil {
			t.Fatal(err)
		}
	}
	cfg := account.DefaultReaderConfig()
	cfg.Phase, cfg.User = phase, "u"
	return &account.Reader{Source: store.New(db), Config: cfg, Now: func() time.Time { return noon }}
}

// check compares with the text of a refusal, or with a figure.
func check(t *testing.T, r *account.Reader, o account.Owner, want string) {
	t.Helper()
	got, err := r.BuyingPower(t.Context(), o)
	var refusal *account.Refusal
	switch {
	case err == nil && got.String() != want:
		t.Errorf("buying power is %s, want %q", got, want)
	case err != nil && (err.Error() != want || !errors.As(err, &refusal) || !got.IsZero()):
		t.Errorf("%s, %v, want %q", got, err, want)
	}
}

func with(f document.Fields, name string, v any) document.Fields {
	if f[name] = v; v == nil {
		delete(f, name)
	}
	return f
}

// Both of the predecessor's shapes, numbers and texts, at either path: what is missing, stale or can't be read is never traded on.
func TestBuyingPower(t *testing.T) {
	for shape, at := range map[string]string{"raw": "updated_at_iso", "account": "syncedAt"} {
		of := func(age time.Duration, power any) document.Fields {
			return porttest.Legacy(shape, noon.Add(-age), power)
		}
		for name, c := range map[string]struct {
			doc  document.Fields
			want string
		}{
			"a number":                 {of(0, 12.34), "12.34"},
			"a text":                   {of(0, "12.34"), "12.34"},
			"a whole number":           {of(0, int64(12)), "12"},
			"300 s old":                {of(300*time.Second, "1"), "1"},
			"301 s old":                {of(301*time.Second, "1"), stale},
			"a minute ahead":           {of(-time.Minute, "1"), "1"},
			"an hour ahead":            {of(-time.Hour, "1"), stale},
			"no time":                  {with(of(0, "1"), at, nil), stale},
			"the time is no time":      {with(of(0, "1"), at, "soon"), unavailable},
			"the time is a number":     {with(of(0, "1"), at, 1764), unavailable},
			"none":                     {of(0, nil), unavailable},
			"zero":                     {of(0, 0.0), unavailable},
			"negative":                 {of(0, "-5"), unavailable},
			"no number":                {of(0, "much"), unavailable},
			"stale, and none":          {of(time.Hour, nil), stale},
			"an exponent":              {of(0, "1e999999"), unavailable},
			"raw is no object":         {with(of(0, "1"), "raw", "x"), unavailable},
			"raw has another, exactly": {with(of(0, 12.34), "raw", map[string]any{"buying_power": "12.345"}), "12.345"},
		} {
			t.Run(shape+": "+name, func(t *testing.T) {
				check(t, reader(t, account.Off, map[string]document.Fields{ofU: c.doc}), account.Owner{UserID: "u"}, c.want)
				check(t, reader(t, account.UserFirst, map[string]document.Fields{ofTenant: c.doc}), account.Owner{UserID: "u", TenantID: "t"}, c.want)
				check(t, reader(t, account.Both, map[string]document.Fields{global: c.doc}), account.Owner{}, c.want)
			})
		}
	}
}

// Defect 4: documents of the syncedAt shape have no updated_at_iso, and the staleness check then failed open.
func TestDefect4NoTimeIsStale(t *testing.T) {
	for name, doc := range map[string]document.Fields{
		"syncedAt of long ago":        porttest.Legacy("account", noon.Add(-24*time.Hour), "1000"),
		"neither time":                with(porttest.Legacy("account", noon, "1000"), "syncedAt", nil),
		"updated_at alone":            with(porttest.Legacy("raw", noon, "1000"), "updated_at_iso", nil),
		"updated_at_iso is empty":     with(porttest.Legacy("raw", noon, "1000"), "updated_at_iso", ""),
		"ours without an observation": {"updated_at": noon, "raw": map[string]any{"buying_power": "1000"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := reader(t, account.Off, map[string]document.Fields{ofU: doc})
			check(t, r, account.Owner{UserID: "u"}, stale)
			if _, err := r.BuyingPower(t.Context(), account.Owner{UserID: "u"}); !errors.Is(err, account.ErrStale) {
				t.Errorf("%v, want ErrStale", err)
			}
		})
	}
}

// Which documents are read, in which phase, by whom; and the path in the text where there is none.
func TestReaderPhases(t *testing.T) {
	u, t1, g := porttest.Legacy("raw", noon, "1"), porttest.Legacy("raw", noon, "2"), porttest.Legacy("account", noon, "3")
	old := porttest.Legacy("raw", noon.Add(-time.Hour), "9")
	whose := func(uid string, f document.Fields) document.Fields { return with(f, "user_id", uid) }
	missing := func(path string) string { return "Missing warm-cache snapshot at Firestore doc " + path }
	all := map[string]document.Fields{ofU: u, ofTenant: t1, global: g}
	for name, c := range map[string]struct {
		docs                 map[string]document.Fields
		owner                account.Owner
		both, userFirst, off string
	}{
		"all there":               {all, account.Owner{UserID: "u", TenantID: "t"}, "2", "1", "1"},
		"no tenant is made up":    {all, account.Owner{UserID: "u"}, "3", "1", "1"},
		"the user's alone":        {map[string]document.Fields{ofU: u}, account.Owner{UserID: "u", TenantID: "t"}, "1", "1", "1"},
		"the tenant's alone":      {map[string]document.Fields{ofTenant: t1}, account.Owner{UserID: "u", TenantID: "t"}, "2", "2", missing(ofU)},
		"the global alone":        {map[string]document.Fields{global: g}, account.Owner{UserID: "u", TenantID: "t"}, "3", "3", missing(ofU)},
		"none":                    {nil, account.Owner{UserID: "u", TenantID: "t"}, missing(ofTenant), missing(ofU), missing(ofU)},
		"none, and no tenant":     {nil, account.Owner{UserID: "u"}, missing(global), missing(ofU), missing(ofU)},
		"the first one is stale":  {map[string]document.Fields{ofU: old, ofTenant: old, global: g}, account.Owner{UserID: "u", TenantID: "t"}, stale, stale, stale},
		"a tenant without a user": {all, account.Owner{TenantID: "t"}, "2", "2", "of no user"},
		"as the predecessor did":  {all, account.Owner{}, "3", "3", "of no user"},
		"another user's":          {map[string]document.Fields{ofTenant: whose("b", porttest.Legacy("raw", noon, "2"))}, account.Owner{UserID: "u", TenantID: "t"}, missing(ofTenant), missing(ofU), missing(ofU)},
		"its user's":              {map[string]document.Fields{ofTenant: whose("u", porttest.Legacy("raw", noon, "2"))}, account.Owner{UserID: "u", TenantID: "t"}, "2", "2", missing(ofU)},
	} {
		t.Run(name, func(t *testing.T) {
			for phase, want := range map[account.Phase]string{account.Both: c.both, account.UserFirst: c.userFirst, account.Off: c.off} {
				r := reader(t, phase, c.docs)
				if want == "of no user" {
					if _, err := r.BuyingPower(t.Context(), c.owner); err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %v, want an error that says %q", phase, err, want)
					}
					continue
				}
				check(t, r, c.owner, want)
			}
		})
	}
}

// Defect 3: whoever was signed in could read the legacy snapshot. Another user's reader does not even ask for it.
func TestDefect3LegacySnapshotIsItsUsersAlone(t *testing.T) {
	for _, phase := range []account.Phase{account.Both, account.UserFirst, account.Off} {
		r := reader(t, phase, map[string]document.Fields{global: porttest.Legacy("raw", noon, "1000"), "tenants/local/accounts/primary": porttest.Legacy("raw", noon, "1000")})
		check(t, r, account.Owner{UserID: "b"}, "Missing warm-cache snapshot at Firestore doc users/b/alpacaAccounts/snapshot")
	}
}

func TestReaderRefusesPaths(t *testing.T) {
	for _, o := range []account.Owner{{UserID: "a/b"}, {UserID: ".."}, {UserID: "u", TenantID: "a/accounts/b"}, {TenantID: ".."}} {
		r := reader(t, account.UserFirst, map[string]document.Fields{ofU: porttest.Legacy("raw", noon, "1")})
		if p, err := r.BuyingPower(t.Context(), o); err == nil || !p.IsZero() {
			t.Errorf("%+v: %s, %v; want an error", o, p, err)
		}
	}
}

type unavailableSource struct{}

func (unavailableSource) SnapshotAt(context.Context, string) (account.Snapshot, error) {
	return account.Snapshot{}, document.ErrUnavailable
}

// A database that does not answer is no missing snapshot: the next path is not asked, and nothing is traded.
func TestReaderWithoutDatabase(t *testing.T) {
	r := reader(t, account.Both, nil)
	r.Source = unavailableSource{}
	p, err := r.BuyingPower(t.Context(), account.Owner{UserID: "u", TenantID: "t"})
	var refusal *account.Refusal
	if !p.IsZero() || !errors.Is(err, document.ErrUnavailable) || errors.As(err, &refusal) || !strings.Contains(err.Error(), ofTenant) {
		t.Errorf("%s, %v; want the database's error with the path", p, err)
	}
}

func TestAfford(t *testing.T) {
	for _, c := range []struct{ power, notional, want string }{
		{"100", "99.99", ""},
		{"100", "100", ""}, // equality passes
		{"100", "100.01", "Refusing to trade: requested notional $100.01 exceeds buying power $100.00."},
		{"0.5", "1e3", "Refusing to trade: requested notional $1000.00 exceeds buying power $0.50."},
		{"0", "1", unavailable},
		{"-1", "1", unavailable},
		{"100", "0", "notional is 0: want more than 0"},
		{"100", "-5", "notional is -5: want more than 0"},
	} {
		err := account.Afford(decimal.RequireFromString(c.power), decimal.RequireFromString(c.notional))
		if (err == nil) != (c.want == "") || (err != nil && err.Error() != c.want) {
			t.Errorf("%s of %s: %v, want %q", c.notional, c.power, err, c.want)
		}
	}
}

func TestReaderConfig(t *testing.T) {
	cfg := account.DefaultReaderConfig()
	if err := serve.ReadEnv([]string{"LEGACY_PHASE=user-first", "LEGACY_USER=u", "ALPACA_SNAPSHOT_MAX_AGE_S=120"}, &cfg); err != nil {
		t.Fatal(err)
	}
	if want := (account.ReaderConfig{Legacy: account.Legacy{Phase: account.UserFirst, User: "u"}, MaxAge: account.Seconds(2 * time.Minute)}); cfg != want {
		t.Errorf("%+v, want %+v", cfg, want)
	}
	cfg = account.DefaultReaderConfig()
	err := serve.ReadEnv([]string{"LEGACY_PHASE=On", "LEGACY_USER=a/b", "ALPACA_SNAPSHOT_MAX_AGE_S=0"}, &cfg)
	for _, want := range []string{`LEGACY_PHASE is "On": want both, user-first or off`, `LEGACY_USER: user id "a/b"`, "ALPACA_SNAPSHOT_MAX_AGE_S is 0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

// An executor asks before it sends an order.
func ExampleReader() {
	db := mem.NewDB(time.Now) // in production gcp.NewFirestore
	now := time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)
	_ = db.Set(context.Background(), "users/alice/alpacaAccounts/snapshot", document.Fields{"syncedAt": now.Add(-time.Minute), "buying_power": "1500.00"})
	r := account.Reader{Source: store.New(db), Config: account.DefaultReaderConfig(), Now: func() time.Time { return now }}
	for _, uid := range []string{"alice", "bob"} {
		power, err := r.BuyingPower(context.Background(), account.Owner{UserID: uid})
		if err == nil {
			err = account.Afford(power, decimal.NewFromInt(2000))
		}
		fmt.Println(err)
	}
	// Output:
	// Refusing to trade: requested notional $2000.00 exceeds buying power $1500.00.
	// Missing warm-cache snapshot at Firestore doc users/bob/alpacaAccounts/snapshot
}
