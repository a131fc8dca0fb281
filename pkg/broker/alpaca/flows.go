package alpaca

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alpacahq/alpaca-trade-api-go/v3/alpaca"
	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
)

// flowType says whether activities of a type are flows, which are no result of trading: cash deposited and withdrawn (both are
// TRANS too), journals, and transfers between brokers (https://docs.alpaca.markets/docs/account-activities); and whether
// they can be of securities.
func flowType(name string) (flow, securities bool) {
	switch name {
	case "CSD", "CSW", "TRANS", "JNLC", "ACATC":
		return true, false
	case "JNLS", "ACATS":
		return true, true
	}
	return false, false
}

const (
	flowPage  = 100                             // rows of a page, Alpaca's most
	flowPages = 2 * account.MaxFlows / flowPage // what is pending or rejected takes room too
)

// Flows implements broker.Session with as many pages of GET /v2/account/activities as there are, 10 at most.
func (s *session) Flows(ctx context.Context, after time.Time) ([]account.Flow, bool, error) {
	flows, token := []account.Flow{}, ""
	for range flowPages {
		page, last, rows, err := s.flowPage(ctx, after, token)
		if err != nil {
			return nil, false, err
		}
		if rows > 0 && last == token {
			return flows, true, nil // the same page again
		}
		flows, token = append(flows, page...), last
		if len(flows) > account.MaxFlows {
			return flows[:account.MaxFlows], true, nil
		}
		if rows < flowPage {
			return flows, false, nil
		}
	}
	return flows, true, nil
}

// flowPage is the page after the activity that token is the id of, the id of its last one, and how many there are, flows or not.
// The SDK turns a missing amount into 0, so the answer itself is read.
func (s *session) flowPage(ctx context.Context, after time.Time, token string) (flows []account.Flow, last string, rows int, err error) {
	zone, err := market.Zone()
	if err != nil {
		return nil, "", 0, err
	}
	c, err := s.do(ctx, "flows", func(client *alpaca.Client) error {
		_, err := client.GetAccountActivities(alpaca.GetAccountActivitiesRequest{
			ActivityTypes: []string{"CSD", "CSW", "JNLC", "JNLS", "ACATC", "ACATS"}, // TRANS is the first two
			After:         after.AddDate(0, 0, -1),                                  // most have a date alone
			Direction:     "desc", PageSize: flowPage, PageToken: token,
		})
		return err
	})
	if err != nil {
		return nil, "", 0, err
	}
	list, err := decode[[]any](c)
	if err != nil {
		return nil, "", 0, c.malformed("flows", err)
	}
	for i, e := range list {
		f, ok, err := flowOf(zone, e)
		if err != nil {
			return nil, "", 0, c.malformed("flows", fmt.Errorf("activity %d: %w", i+1, err))
		}
		if ok {
			flows = append(flows, f)
		}
		last, _ = e.(map[string]any)["id"].(string)
	}
	return flows, last, len(list), nil
}

// flowOf reads one activity; ok is false if it is no flow, or none yet.
func flowOf(zone *time.Location, v any) (f account.Flow, ok bool, err error) {
	row, ok := v.(map[string]any)
	if !ok {
		return f, false, fmt.Errorf("it is a %T, want an object", v)
	}
	text := map[string]string{}
	for _, name := range []string{"id", "activity_type", "date", "status", "transaction_time", "created_at"} {
		if text[name], ok = row[name].(string); !ok && row[name] != nil {
			return f, false, fmt.Errorf("%s is a %T, want a text", name, row[name])
		}
	}
	flow, securities := flowType(text["activity_type"])
	if text["activity_type"] == "" || text["id"] == "" || len(text["id"]) > 100 {
		return f, false, errors.New("it has no id or no activity_type, or one that is too long")
	}
	status := strings.ToLower(text["status"])
	if !flow || status == "pending" || status == "queued" || status == "rejected" {
		return f, false, nil
	}
	f.ID, f.InKind = text["id"], securities
	if f.At, err = booked(zone, text); err != nil {
		return f, false, err
	}
	if status == "canceled" {
		f.Amount = decimal.NewNullDecimal(decimal.Decimal{})
		return f, true, nil
	}
	f.Amount, err = amount(row, securities)
	return f, true, err
}

// booked is when an activity was, as precisely as it says. Its id begins with a time, which is midnight where there is only a
// date.
func booked(zone *time.Location, text map[string]string) (time.Time, error) {
	for _, name := range []string{"transaction_time", "created_at"} {
		if t, err := time.Parse(time.RFC3339, text[name]); err == nil {
			return t.UTC(), nil
		}
	}
	day, errDay := time.ParseInLocation(time.DateOnly, text["date"], zone)
	stamp, _, _ := strings.Cut(text["id"], "::")
	if len(stamp) == len("20060102150405000") {
		stamp = stamp[:14] + "." + stamp[14:]
		if t, err := time.Parse("20060102150405.000", stamp); err == nil && !t.Equal(t.Truncate(24*time.Hour)) && (errDay != nil || !t.Before(day)) {
			return t, nil
		}
	}
	if errDay != nil {
		return time.Time{}, fmt.Errorf("date is %.40q, want one", text["date"])
	}
	return day.UTC(), nil
}

// maxAmount of one flow, USD: sums of them stay figures that a document can hold.
const maxAmount = 1_000_000_000_000_000

// amount is the money that moved, in USD: what Alpaca says of cash, quantity and price of securities. Where these are
// missing, their value is not known.
func amount(row map[string]any, securities bool) (d decimal.NullDecimal, err error) {
	figures := map[string]decimal.NullDecimal{}
	for _, name := range []string{"net_amount", "qty", "price"} {
		if figures[name], err = account.Decimal(row[name]); err != nil {
			return d, fmt.Errorf("%s: %w", name, err)
		}
	}
	net, qty, price := figures["net_amount"], figures["qty"], figures["price"]
	switch {
	case !securities && !net.Valid:
		return d, errors.New("net_amount is missing")
	case !securities || (net.Valid && !net.Decimal.IsZero()):
		d = net
	case qty.Valid && price.Valid && price.Decimal.IsPositive():
		d = decimal.NewNullDecimal(qty.Decimal.Mul(price.Decimal).Round(4))
	}
	if d.Decimal.Abs().GreaterThan(decimal.NewFromInt(maxAmount)) {
		return d, errors.New("its amount is more than there is money")
	}
	return d, nil
}
