package strategy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	decimal "github.com/alpacahq/alpacadecimal"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/signal"
)

// KindGemini is the kind of the strategy that asks Gemini.
const KindGemini = "gemini"

// gemini asks a model which of a few symbols to buy or to sell, and sizes the trade itself. The model gives a direction, a
// confidence and a reason. Whatever it says, and whoever made it say so, the worst that comes of it is a direction on one
// of the owner's symbols, within the owner's weight and the platform's risk rules.
//
// Parameters:
//
//	symbols         list of 1 to 10 symbols
//	weight          share of equity that each may have at most, above 0; for all symbols together at most 1; default 0.1
//	min_confidence  0 to 1: an answer that is less sure is no trade; default 0.6
//	model           gemini-2.5-flash (default), or another Gemini of Google's, 2.5 or later: gemini-N-pro, -flash,
//	                -flash-lite, with a version or -preview after it or without
//	context         what the owner wants the model to know: up to 1,000 bytes, no keys and no e-mail addresses in it
//	every_minutes   asks at each multiple of these minutes since midnight UTC: a multiple of 5 that divides a day;
//	                default 60
//	bars            timeframe of the bars that the model sees: 5Min, 15Min, 30Min, 1Hour, 1Day; default none
//	bar_count       so many of each symbol; default 20; for all symbols together at most 60
//
// A buy fills up to weight × confidence of equity, a sell gives all that is held; it is never short, and a buy never
// sells. A symbol with an open order, or without any price, is left out of the question.
type gemini struct {
	id            string
	symbols       []string
	weight        decimal.Decimal
	minConfidence decimal.Decimal
	model         string
	context       string
	every         time.Duration
	bars          market.Timeframe
	barCount      int
}

const (
	defaultModel = "gemini-2.5-flash"
	maxSymbols   = 10
	maxContext   = 1000 // bytes
	maxBars      = 60   // of all symbols: the prompt fits into a signal
)

var (
	modelForm = regexp.MustCompile(`^gemini-(2\.5|[3-9](\.[0-9])?)-(pro|flash|flash-lite)(-[0-9]{3}|-preview(-[0-9]{2,4}){0,2})?$`) // 2.5 is the first that thinks
	mailForm  = regexp.MustCompile(`[^\s@]@[^\s@]+\.[^\s@]`)
	keyForm   = regexp.MustCompile(`[A-Za-z0-9+/=_-]{16,}`)                                    // a key is such a run with letters and digits in it
	wordsForm = regexp.MustCompile(`^([A-Za-z]*|[0-9]{1,4})([+/=_-]([A-Za-z]*|[0-9]{1,4}))*$`) // but for words and short numbers: on-top-10
	letter    = regexp.MustCompile(`[A-Za-z]`)
	digit     = regexp.MustCompile(`[0-9]`)
)

func newGemini(p *Params) Strategy {
	g := &gemini{
		id:            p.ID(),
		symbols:       p.Symbols("symbols"),
		weight:        p.Figure("weight", 0.1, 0, 1),
		minConfidence: p.Figure("min_confidence", 0.6, 0, 1),
		model:         p.Text("model", defaultModel),
		context:       p.Text(contextName, ""),
		every:         p.Minutes("every_minutes", 60),
		bars:          market.Timeframe(p.Text("bars", "")),
		barCount:      p.Whole("bar_count", 20, 1, maxBars),
	}
	most := max(1, len(g.symbols))
	if len(g.symbols) > maxSymbols {
		p.Fault("symbols holds %d: want at most %d, since they are in one question", len(g.symbols), maxSymbols)
	}
	if all := g.weight.Mul(decimal.NewFromInt(int64(most))); !g.weight.IsPositive() || all.GreaterThan(decimal.NewFromInt(1)) {
		p.Fault("weight is %s for each of %d symbols: want more than 0, and together at most 1", g.weight, len(g.symbols))
	}
	if g.every == 0 {
		p.Fault("every_minutes is 0: it has to be asked at some time")
	}
	if !modelForm.MatchString(g.model) {
		p.Fault("model is %.40q: want 2.5 or later, like %s or gemini-3-pro-preview", g.model, defaultModel)
	}
	p.check(checkContext(g.context))
	switch {
	case g.bars == "" && p.d.Params["bar_count"] != nil:
		p.Fault("bar_count is set, and bars is not: want its timeframe, like 1Day")
	case g.bars == "":
		g.barCount = 0
	case g.barCount*most > maxBars:
		p.Fault("bar_count is %d: want 1 to %d, with %d symbols", g.barCount, maxBars/most, most)
	default:
		p.check(market.CheckTimeframe(g.bars))
	}
	return g
}

// checkContext keeps out of the prompt what has no business there. It tells nothing of what it found.
func checkContext(s string) error {
	if len(s) > maxContext {
		return fmt.Errorf("context has %d bytes: want at most %d", len(s), maxContext)
	}
	if mailForm.MatchString(s) {
		return errors.New("context holds what looks like an e-mail address: it goes to the model, leave it out")
	}
	if slices.ContainsFunc(keyForm.FindAllString(s, -1), func(run string) bool {
		return letter.MatchString(run) && digit.MatchString(run) && !wordsForm.MatchString(run)
	}) {
		return errors.New("context holds what looks like a key (16 or more letters, digits and + / = _ - in a row, with letters and digits in one word, or a number of more than 4 digits): it goes to the model, leave it out, or put blanks between")
	}
	return nil
}

func (g *gemini) Triggers() Triggers { return Triggers{Every: g.every} }

func (g *gemini) Needs() Needs { return Needs{Symbols: g.symbols, Bars: g.bars, Count: g.barCount} }

// Ask implements Asker.
func (g *gemini) Ask(in Input) *Question {
	sights, denial := g.look(in)
	if denial != nil || len(sights) == 0 {
		return nil
	}
	q := &Question{StrategyID: g.id, Cause: in.Cause, Model: g.model, System: geminiSystem, Prompt: g.prompt(in, sights)}
	for _, s := range sights {
		q.Symbols = append(q.Symbols, s.symbol)
	}
	return q
}

func (g *gemini) Decide(in Input) (Decision, error) {
	sights, denial := g.look(in)
	switch {
	case denial != nil:
		return Decision{}, denial
	case len(sights) == 0: // all wait for their orders
		return Decision{}, nil
	case in.Answer == nil:
		return Decision{}, &Denial{Code: ModelUnavailable, Reason: "the model was not asked: none is set up, or the market was not known in time"}
	case in.Answer.Failure != "" && !strings.HasPrefix(in.Answer.Failure, "MODEL_"):
		return Decision{}, &Denial{Code: in.Answer.Failure, Reason: "the model was not asked, since nothing could come of it: " + in.Answer.Detail}
	case in.Answer.Failure != "":
		return Decision{}, &Denial{Code: in.Answer.Failure, Reason: "the model gave no answer to trade on: " + in.Answer.Detail}
	}
	o, err := parseOpinion(in.Answer.Text)
	if err != nil {
		return Decision{}, &Denial{Code: ModelAnswerInvalid, Reason: "the model's answer is not what was asked for: " + err.Error()}
	}
	i := slices.IndexFunc(sights, func(s sight) bool { return s.symbol == o.symbol })
	switch {
	case i < 0:
		return Decision{}, &Denial{Code: ModelSymbolMismatch, Reason: fmt.Sprintf("the model speaks of %.20q, and was not asked about it", o.symbol)}
	case o.action == actionHold:
		return Decision{}, nil
	case o.confidence.LessThan(g.minConfidence):
		return Decision{}, &Denial{Code: ModelConfidenceLow, Reason: fmt.Sprintf("the model would %s %s with confidence %s, its owner wants %s", o.action, o.symbol, o.confidence, g.minConfidence)}
	}
	return g.size(in, in.Account.Equity.Decimal, sights[i], o)
}

// size is all that decides how much. A target under what is held and under way is no buy, one over it no sell.
func (g *gemini) size(in Input, equity decimal.Decimal, s sight, o opinion) (Decision, error) {
	side, target := signal.Sell, decimal.Decimal{}
	if o.action == string(signal.Buy) {
		side, target = signal.Buy, equity.Mul(g.weight).Mul(o.confidence)
	}
	i, ok, err := Intent{Symbol: s.symbol, Target: decimal.NewNullDecimal(target), Confidence: decimal.NewNullDecimal(o.confidence), Reason: "model: " + o.reason}.Sized(in)
	if err == nil && i.Action != side && i.Action != "" {
		return Decision{Withdraw: []string{s.symbol}}, nil
	}
	if err != nil || !ok {
		return Decision{}, err
	}
	return Decision{Intents: []Intent{i}}, nil
}

// sight is a symbol as the model gets to see it.
type sight struct {
	symbol string
	price  decimal.Decimal     // USD a share
	held   decimal.Decimal     // USD
	gain   decimal.NullDecimal // share of what was paid for what is held
}

// look finds the symbols that can be asked about.
func (g *gemini) look(in Input) (sights []sight, _ *Denial) {
	if _, err := Equity(in); err != nil {
		return nil, &Denial{Code: "EQUITY_UNAVAILABLE", Reason: "the account's equity is missing, zero or negative"}
	}
	unpriced := ""
	for _, symbol := range g.symbols {
		if slices.ContainsFunc(in.Orders, func(o account.Order) bool { return o.Symbol == symbol }) {
			continue
		}
		s := sight{symbol: symbol}
		held, err := Value(in, symbol)
		if err != nil {
			unpriced = symbol
			continue
		}
		if held.IsNegative() {
			return nil, &Denial{Code: "POSITION_SHORT", Reason: fmt.Sprintf("%s is held short; gemini works on long positions", symbol)}
		}
		if s.held, s.price, s.gain = held, latest(in, symbol), gain(in, symbol); !s.price.IsPositive() {
			unpriced = symbol
			continue
		}
		sights = append(sights, s)
	}
	if len(sights) == 0 && unpriced != "" {
		return nil, &Denial{Code: "PRICE_UNAVAILABLE", Reason: "there is no price to ask the model about, of " + unpriced + " for one"}
	}
	return sights, nil
}

// latest is the latest that is known, 0 if none is.
func latest(in Input, symbol string) decimal.Decimal {
	if p, ok := in.Quotes[symbol]; ok {
		return p
	}
	for _, p := range in.Positions {
		if p.Symbol == symbol && p.CurrentPrice.Valid {
			return p.CurrentPrice.Decimal
		}
	}
	if bars := in.Bars[symbol]; len(bars) > 0 {
		return bars[len(bars)-1].Close
	}
	return decimal.Decimal{}
}

func gain(in Input, symbol string) decimal.NullDecimal {
	for _, p := range in.Positions {
		if p.Symbol == symbol && p.AvgEntryPrice.Valid && p.AvgEntryPrice.Decimal.IsPositive() {
			return decimal.NewNullDecimal(latest(in, symbol).Div(p.AvgEntryPrice.Decimal).Sub(decimal.NewFromInt(1)))
		}
	}
	return decimal.NullDecimal{}
}
