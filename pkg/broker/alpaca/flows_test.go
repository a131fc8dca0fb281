package alpaca_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
)

// Deposits, withdrawals and transfers are flows, with what they are worth; what trading brings is none.
func TestFlows(t *testing.T) {
	midnight := time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC) // in New York
	flow := func(id string, at time.Time, amount string) account.Flow {
		f := account.Flow{ID: id, At: at}
		if amount != "" {
			f.Amount = figure(amount)
		}
		return f
	}
	inKind := func(f account.Flow) account.Flow {
		f.InKind = true
		return f
	}
	for name, c := range map[string]struct {
		row  string // after the id
		want *account.Flow
	}{
		"a deposit":                     {`"activity_type":"CSD","date":"2026-11-24","net_amount":"100.50","status":"executed"`, new(flow("i", midnight, "100.50"))},
		"a withdrawal":                  {`"activity_type":"CSW","date":"2026-11-24","net_amount":"-100.50"`, new(flow("i", midnight, "-100.50"))},
		"a number for an amount":        {`"activity_type":"TRANS","date":"2026-11-24","net_amount":-7`, new(flow("i", midnight, "-7"))},
		"a journal, with a time":        {`"activity_type":"JNLC","date":"2026-11-24","net_amount":"5","created_at":"2026-11-24T14:00:00.5Z"`, new(flow("i", midnight.Add(9*time.Hour+500*time.Millisecond), "5"))},
		"cash from another broker":      {`"activity_type":"ACATC","date":"2026-11-24","net_amount":"5"`, new(flow("i", midnight, "5"))},
		"securities, with their amount": {`"activity_type":"ACATS","date":"2026-11-24","net_amount":"500","qty":"2"`, new(inKind(flow("i", midnight, "500")))},
		"securities, with a price":      {`"activity_type":"JNLS","date":"2026-11-24","net_amount":"0","qty":"-2","price":"10.25"`, new(inKind(flow("i", midnight, "-20.5")))},
		"securities of unknown value":   {`"activity_type":"ACATS","date":"2026-11-24","net_amount":"0","qty":"2"`, new(inKind(flow("i", midnight, "")))},
		"securities without any figure": {`"activity_type":"ACATS","date":"2026-11-24"`, new(inKind(flow("i", midnight, "")))},
		"canceled":                      {`"activity_type":"CSD","date":"2026-11-24","net_amount":"5","status":"canceled"`, new(flow("i", midnight, "0"))},
		"pending":                       {`"activity_type":"JNLC","date":"2026-11-24","net_amount":"5","status":"pending"`, nil},
		"a trade":                       {`"activity_type":"FILL","transaction_time":"2026-11-24T15:00:00Z","price":"1","qty":"1"`, nil},
		"a dividend":                    {`"activity_type":"DIV","date":"2026-11-24","net_amount":"1.02"`, nil},
		"a fee":                         {`"activity_type":"FEE","date":"2026-11-24","net_amount":"-1.02"`, nil},
		"interest":                      {`"activity_type":"INT","date":"2026-11-24","net_amount":"1.02"`, nil},
	} {
		var asked string
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.URL.Path + "?" + r.URL.RawQuery
			_, _ = w.Write([]byte(`[{"id":"i",` + c.row + `}]`))
		})
		got, more, err := open(t, h, alpaca.Config{}).Flows(t.Context(), midnight)
		if err != nil || more {
			t.Errorf("%s: %v, %t", name, err, more)
			continue
		}
		var want []account.Flow
		if c.want != nil {
			want = []account.Flow{*c.want}
		}
		if diff := cmp.Diff(want, append([]account.Flow(nil), got...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if asked != "/v2/account/activities?activity_types=CSD%2CCSW%2CJNLC%2CJNLS%2CACATC%2CACATS&after=2026-11-23T05%3A00%3A00Z&direction=desc&page_size=100" {
			t.Errorf("asked %s", asked)
		}
	}
	got, _, err := open(t, answering(200, `[{"id":"20261124153000250::x","activity_type":"CSD","date":"2026-11-24","net_amount":"1"}]`), alpaca.Config{}).Flows(t.Context(), midnight)
	if err != nil || len(got) != 1 || !got[0].At.Equal(time.Date(2026, 11, 24, 15, 30, 0, 250e6, time.UTC)) {
		t.Errorf("a time in the id: %v, %v", got, err)
	}
}

// Pages are read to the last one, each flow once, and to a bound.
func TestFlowPages(t *testing.T) {
	for name, c := range map[string]struct {
		rows   int
		status func(row int) string
		deaf   bool // to the page token
		flows  int
		more   bool
		pages  int
	}{
		"less than one":         {rows: 99, flows: 99, pages: 1},
		"one, full":             {rows: 100, flows: 100, pages: 2},
		"some":                  {rows: 250, flows: 250, pages: 3},
		"as many as are kept":   {rows: 500, flows: 500, pages: 6},
		"more than are kept":    {rows: 501, flows: 500, more: true, pages: 6},
		"few among many":        {rows: 350, status: func(i int) string { return map[bool]string{true: "executed", false: "pending"}[i%100 == 0] }, flows: 4, pages: 4},
		"no end":                {rows: 5000, status: func(int) string { return "pending" }, more: true, pages: 10},
		"the same page for all": {rows: 250, deaf: true, flows: 100, more: true, pages: 2},
	} {
		pages := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			pages++
			start, list := 0, []map[string]any{}
			if token := r.URL.Query().Get("page_token"); token != "" && !c.deaf {
				_, _ = fmt.Sscanf(token, "i%d", &start)
				start++
			}
			for i := start; i < min(c.rows, start+100); i++ {
				row := map[string]any{"id": fmt.Sprintf("i%04d", i), "activity_type": "CSD", "date": "2026-11-24", "net_amount": "1"}
				if c.status != nil {
					row["status"] = c.status(i)
				}
				list = append(list, row)
			}
			_ = json.NewEncoder(w).Encode(list)
		})
		got, more, err := open(t, h, alpaca.Config{}).Flows(t.Context(), time.Unix(0, 0))
		ids := map[string]bool{}
		for _, f := range got {
			ids[f.ID] = true
		}
		if err != nil || len(got) != c.flows || len(ids) != c.flows || more != c.more || pages != c.pages {
			t.Errorf("%s: %d flows, %d of them different, more %t, %d pages, %v; want %d, %t, %d", name, len(got), len(ids), more, pages, err, c.flows, c.more, c.pages)
		}
	}
}

// What is missing never becomes 0, and trouble is as with the other calls.
func TestFlowsFaults(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   broker.Kind
	}{
		"bad key":                 {401, `{"code":40110000,"message":"PKTEST canary-secret"}`, broker.Unauthorized},
		"restricted":              {403, `{"code":40310000,"message":"no"}`, broker.Forbidden},
		"rate limit":              {429, `{"code":42910000,"message":"rate limit exceeded"}`, broker.RateLimited},
		"HTML 502":                {502, "<html>", broker.Unavailable},
		"an object":               {200, `{}`, broker.Malformed},
		"null":                    {200, `null`, broker.Malformed},
		"no JSON":                 {200, `<html>`, broker.Malformed},
		"a null in it":            {200, `[null]`, broker.Malformed},
		"no amount":               {200, `[{"id":"i","activity_type":"CSD","date":"2026-11-24"}]`, broker.Malformed},
		"a null amount":           {200, `[{"id":"i","activity_type":"CSW","date":"2026-11-24","net_amount":null}]`, broker.Malformed},
		"NaN":                     {200, `[{"id":"i","activity_type":"CSD","date":"2026-11-24","net_amount":"NaN"}]`, broker.Malformed},
		"too much":                {200, `[{"id":"i","activity_type":"CSD","date":"2026-11-24","net_amount":"1e20"}]`, broker.Malformed},
		"too many shares":         {200, `[{"id":"i","activity_type":"JNLS","date":"2026-11-24","qty":"1e20","price":"1e20"}]`, broker.Malformed},
		"no id":                   {200, `[{"activity_type":"CSD","date":"2026-11-24","net_amount":"1"}]`, broker.Malformed},
		"no type":                 {200, `[{"id":"i","date":"2026-11-24","net_amount":"1"}]`, broker.Malformed},
		"no date":                 {200, `[{"id":"i","activity_type":"CSD","net_amount":"1"}]`, broker.Malformed},
		"a strange date":          {200, `[{"id":"i","activity_type":"CSD","date":"today","net_amount":"1"}]`, broker.Malformed},
		"a date that is a number": {200, `[{"id":"i","activity_type":"CSD","date":7,"net_amount":"1"}]`, broker.Malformed},
	} {
		got, _, err := open(t, answering(c.status, c.body), alpaca.Config{}).Flows(t.Context(), time.Unix(0, 0))
		if broker.KindOf(err) != c.kind || got != nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "PKTEST") {
			t.Errorf("%s: %v, %v; want kind %s", name, got, err, c.kind)
		}
	}
}
