package firestore_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/envelope"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/migration"
	"github.com/agenttrader/agenttrader/pkg/porttest"
	"github.com/agenttrader/agenttrader/pkg/risk"
	"github.com/agenttrader/agenttrader/pkg/roster"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/signal"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// others are fields that the packages here do not write, and who does.
var others = map[string]string{
	"platform/riskControls strategies": "nobody: it is a user's only",
}

// foreign are paths that are the predecessor's.
var foreign = []string{"tenants/{tenant}/accounts/primary", "alpacaAccounts/snapshot", "tradingSignals/{id}"}

// docs/data-model.md has exactly the paths and fields that the code writes, with their types: all that a run of the ports' contracts, and
// a write of each document with something in every field, leave in the twin of the database.
func TestDataModel(t *testing.T) {
	m := readModel(t)
	var mu sync.Mutex
	written := map[string]map[string]bool{} // by the model's path: "field", "field.nested"
	watch := func(db *mem.DB) *mem.DB {
		db.Watch(func(w mem.Written) {
			if w.New == nil {
				return
			}
			d, err := document.Decode(w.New)
			mu.Lock()
			defer mu.Unlock()
			path := m.of(w.Path)
			if path == "" || err != nil {
				t.Errorf("%s is not in docs/data-model.md (%v)", w.Path, err)
				return
			}
			if slices.Contains(foreign, path) {
				return
			}
			if written[path] == nil {
				written[path] = map[string]bool{}
			}
			m.check(t, path, "", d.Fields, written[path])
		})
		return db
	}
	porttest.Store(t, func(t *testing.T) (porttest.Stores, func(string) []map[string]any) {
		db := watch(mem.NewDB(time.Now))
		return store.New(db), func(uid string) (fields []map[string]any) {
			docs, err := db.Query(t.Context(), document.Query{Collection: store.UserPath(uid) + "/" + store.Signals})
			must(t, err)
			for _, d := range docs {
				fields = append(fields, d.Fields)
			}
			return fields
		}
	})
	writeAll(t, watch(mem.NewDB(time.Now)))
	for path, fields := range m.sections {
		if slices.Contains(foreign, path) {
			continue
		}
		for _, f := range fields {
			name := strings.TrimPrefix(f.in+"."+f.name, ".")
			if !written[path][name] && others[path+" "+name] == "" {
				t.Errorf("%s: docs/data-model.md has %s, and nothing writes it", path, name)
			}
		}
	}
	for of := range others {
		path, name, _ := strings.Cut(of, " ")
		if !slices.ContainsFunc(m.sections[path], func(f field) bool { return f.name == name }) {
			t.Errorf("docs/data-model.md has no %s of %s", name, path)
		}
	}
}

// of is the model's path of a document: of two that fit the one with fewer variables. "": there is none.
func (m model) of(path string) (best string) {
	for pattern := range m.paths {
		if matches(pattern, path) && (best == "" || strings.Count(pattern, "{") < strings.Count(best, "{")) {
			best = pattern
		}
	}
	return best
}

// check holds fields against the model, and notes them.
func (m model) check(t *testing.T, path, in string, fields map[string]any, seen map[string]bool) {
	for name, v := range fields {
		i := slices.IndexFunc(m.sections[path], func(f field) bool { return f.name == name && f.in == in })
		if i < 0 {
			t.Errorf("%s: docs/data-model.md has no field %s", path, strings.TrimPrefix(in+"."+name, "."))
			continue
		}
		f := m.sections[path][i]
		seen[strings.TrimPrefix(in+"."+name, ".")] = true
		kind := kindOf(v)
		switch {
		case strings.HasPrefix(f.kind, kind), kind == "string" && strings.HasPrefix(f.kind, "decimal"), kind == "null" && strings.Contains(f.kind, "or null"):
		case path == "users/{uid}/tradingSignals/{signalId}" && name == "status": // the contract's tests write what odd clients write
		default:
			t.Errorf("%s: %s is a %s, docs/data-model.md says %s", path, name, kind, f.kind)
		}
		var inner []any
		switch v := v.(type) {
		case []any:
			inner = v
		case map[string]any:
			inner = slices.Collect(maps.Values(v))
		}
		for _, e := range inner {
			if e, ok := e.(map[string]any); ok && in == "" && slices.ContainsFunc(m.sections[path], func(f field) bool { return f.in == name }) {
				m.check(t, path, name, e, seen)
			}
		}
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case int64:
		return "integer"
	case float64:
		return "number"
	case bool:
		return "bool"
	case time.Time:
		return "timestamp"
	case []byte:
		return "bytes"
	case []any:
		return "list"
	}
	return "map"
}

// writeAll writes each document with something in every field.
func writeAll(t *testing.T, db *mem.DB) {
	ctx, s := t.Context(), store.New(db)
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	one := decimal.NewFromInt(1)
	must(t, s.PutUser(ctx, user.User{ID: "u", Status: user.Active, CadenceMinutes: 1, BrokerEnv: "paper", SyncHours: market.Always, KeyVersion: "1", TenantID: "t"}))
	snap := porttest.Snapshot("u", 1, noon)
	snap.SlotMinutes, snap.CadenceMinutes, snap.Flows.Gap, snap.Flows.GapCash = 60, 1, noon, decimal.NewNullDecimal(one)
	snap.Positions[0].AvgEntryPrice, snap.Positions[0].CurrentPrice = decimal.NewNullDecimal(one), decimal.NewNullDecimal(one)
	o := &snap.OpenOrders[0]
	o.Notional, o.FilledQty, o.LimitPrice, o.ClientOrderID = decimal.NewNullDecimal(one), decimal.NewNullDecimal(one), decimal.NewNullDecimal(one), "c"
	_, err := s.PutSnapshot(ctx, snap)
	must(t, err)
	_, _, err = s.Update(ctx, "u", func(health.Health) health.Health {
		return health.Health{State: health.NeedsReauth, Cause: health.Unauthorized, Failures: 2, KeyVersion: "1", Tick: tick.Of(noon), LastAttemptAt: noon, NextAttemptAt: noon}
	})
	must(t, err)
	must(t, s.PutStrategy(ctx, strategy.Definition{UserID: "u", ID: "s", Kind: "k", Params: map[string]any{"a": "b"}, Enabled: true, Mode: strategy.Shadow, Limits: map[string]any{"max_trade_usd": int64(1)}}))
	writeSignals(t, s, snap, noon)
	word := risk.Trading{State: risk.Halted, Reason: "r", Author: "a", At: noon}
	must(t, s.SetTrading(ctx, "u", "", word))
	must(t, s.SetTrading(ctx, "u", "s", word))
	must(t, s.SetTrading(ctx, "", "", word))
	for _, uid := range []string{"u", ""} {
		must(t, s.SetLimits(ctx, uid, risk.ParseLimits(map[string]any{"max_trade_usd": int64(1)})))
	}
	q := strategy.Question{StrategyID: "s", Cause: strategy.Cause{Text: "c", Tick: tick.Of(noon)}, Model: "m", Prompt: "p"}
	_, err = s.CountQuestion(ctx, "u", q, "2026-11-24", 5)
	must(t, err)
	_, err = s.KeepAnswer(ctx, "u", q, strategy.Answer{Prompt: "p", Text: "t", Finish: "STOP", Failure: "F", Detail: "d", PromptTokens: 1, OutputTokens: 1})
	must(t, err)
	_, err = s.Claim(ctx, tick.Of(noon), "", "one", noon, noon)
	must(t, err)
	must(t, s.Build(ctx, roster.Split("b", "", []roster.Entry{{UserID: "u", BrokerEnv: "paper"}}, 1000)))
	must(t, s.SetBookmark(ctx, "u"))
	must(t, s.Refresh(ctx, "u", roster.OfUser))
	writeKeys(t, db)
	must(t, db.Set(ctx, "tenants/t2/accounts/primary", map[string]any{"buying_power": 1.0, "updated_at_iso": noon.Format(time.RFC3339)}))
	must(t, db.Set(ctx, "tradingSignals/s", map[string]any{"user_id": "u2", "symbol": "SPY", "status": "pending"}))
	row, mover := migration.Row{UserID: "u2", TenantID: "t2", Email: "u2@example.com", DisplayName: "U"}, migration.Mover{DB: db}
	_, err = mover.User(ctx, row)
	must(t, err)
	sig, err := db.Get(ctx, "tradingSignals/s")
	must(t, err)
	_, _, err = mover.Signals(ctx, "u2", []document.Document{sig})
	must(t, err)
	_, err = mover.PruneUser(ctx, row)
	must(t, err)
}

func writeSignals(t *testing.T, s *store.Store, snap account.Snapshot, noon time.Time) {
	one := decimal.NewFromInt(1)
	mark := risk.Mark{Equity: decimal.NewNullDecimal(one), At: noon, Flow: one}
	batch := signal.Batch{UserID: "u", StrategyID: "s", ChangedSeq: 1, Cause: "c", CauseTick: tick.Of(noon), Now: noon}
	_, err := s.Place(t.Context(), batch, func(v risk.View) risk.Plan {
		*v.State = risk.State{
			Reservations: []signal.Reservation{{
				SignalID: "g", StrategyID: "s", Symbol: "SPY", Action: signal.Buy, Notional: one, Qty: one, Reserved: one, Held: one,
				CreatedAt: noon, ExpiresAt: noon, SettledAt: noon, Executed: true, ShownAt: noon, Mixed: true,
			}},
			Day:        risk.Day{Start: noon, End: noon, Notional: one, Orders: 1},
			Mark:       mark,
			Traded:     map[string]time.Time{"SPY": noon},
			Breaches:   []risk.Breach{{Strategy: "s", Code: risk.DrawdownExceeded, At: noon, Value: one, Bound: one}},
			Strategies: map[string]risk.Progress{"s": {Tick: 1, Causes: []string{"c"}, Asides: []string{"e"}, State: strategy.State{"a": "b"}, Notional: one, Orders: 1, Mark: mark}},
		}
		return risk.Plan{
			Write: true,
			Signals: []signal.Signal{{
				ID: "g", UserID: "u", StrategyID: "s", Symbol: "SPY", Action: signal.Flat, Notional: one, Qty: decimal.NewNullDecimal(one), Reason: "r", Status: signal.Rejected, Cause: "c", SnapshotSeq: snap.Seq,
				DenialCode: "D", CreatedAt: noon, ExpiresAt: noon, Shadow: true, RawModelOutput: "{}",
			}},
			Record: &risk.Record{ID: "d", StrategyID: "s", Cause: "c", At: noon, ExpireAt: noon, Signals: []string{"g"}, Outcome: []string{"o"}, Body: []byte{1}},
		}
	})
	must(t, err)
}

func writeKeys(t *testing.T, db *mem.DB) {
	kms, err := mem.NewKMS(mem.KMSKey)
	must(t, err)
	v, err := envelope.New(db, kms, envelope.DefaultConfig())
	must(t, err)
	keys, err := secret.NewCredentials("PKAAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	must(t, err)
	must(t, v.Put(t.Context(), "u", keys, "1"))
	must(t, kms.Rotate())
	must(t, (&envelope.Rewrapper{DB: db, To: kms}).All(t.Context(), func(_ string, _ bool, err error) { must(t, err) }))
}
