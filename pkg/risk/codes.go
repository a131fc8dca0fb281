package risk

// The codes of denials, in the order in which the engine looks. Those down to MarketClosed refuse what closes a position
// too, unless they say otherwise; all others refuse only what opens exposure.
const (
	EngineFault            = "ENGINE_FAULT"        // a fault of ours
	IntentInvalid          = "INTENT_INVALID"      // no such action, symbol or notional; or two for one symbol
	SymbolForeign          = "SYMBOL_FOREIGN"      // not among the symbols that the strategy trades
	TradingHalted          = "TRADING_HALTED"      // a person halted trading
	StrategiesExceeded     = "STRATEGIES_EXCEEDED" // the state's own bound: none of those that it remembers may be forgotten
	AccountBlocked         = "ACCOUNT_BLOCKED"     // by the broker or the user
	MarketClosed           = "MARKET_CLOSED"       // outside the hours that a limit allows
	DailyLossExceeded      = "DAILY_LOSS_EXCEEDED" // since the last close
	DrawdownExceeded       = "DRAWDOWN_EXCEEDED"   // since the high-water mark
	TradingReducing        = "TRADING_REDUCING"    // a person or a breach lets only through what lowers exposure
	LimitInvalid           = "LIMIT_INVALID"       // a limit can't be read
	AccountInactive        = "ACCOUNT_INACTIVE"    // the broker's status is not ACTIVE
	AccountUnknown         = "ACCOUNT_UNKNOWN"     // the broker does not say whether it blocks
	SnapshotStale          = "SNAPSHOT_STALE"      // too old, or without a time
	SnapshotIncomplete     = "SNAPSHOT_INCOMPLETE" // positions or orders are missing
	MarketUnknown          = "MARKET_UNKNOWN"      // there are hours, and the calendar is not known
	DailyLossUnavailable   = "DAILY_LOSS_UNKNOWN"  // equity, last equity or flows are missing
	DrawdownUnavailable    = "DRAWDOWN_UNKNOWN"    // equity, mark or flows are missing
	SymbolDenied           = "SYMBOL_DENIED"       // on a deny list
	SymbolNotAllowed       = "SYMBOL_NOT_ALLOWED"  // not on an allow list
	QuoteUnavailable       = "QUOTE_UNAVAILABLE"   // there is an age limit, and no quote
	QuoteStale             = "QUOTE_STALE"         // older than that
	PriceUnavailable       = "PRICE_UNAVAILABLE"   // of the symbol, or of something held, where a limit needs it
	PriceBelow             = "PRICE_BELOW_MINIMUM" // USD a share
	CooldownActive         = "COOLDOWN_ACTIVE"     // too soon after the last trade of the symbol
	OrdersExceeded         = "ORDERS_EXCEEDED"     // of the day
	TradeExceeded          = "TRADE_EXCEEDED"      // notional of one trade
	DayExceeded            = "DAY_EXCEEDED"        // notional of the day
	EquityUnavailable      = "EQUITY_UNAVAILABLE"  // missing or not positive, where a limit is a share of it
	PositionExceeded       = "POSITION_EXCEEDED"   // share of equity in one symbol
	PositionsExceeded      = "POSITIONS_EXCEEDED"  // number of them
	ExposureExceeded       = "EXPOSURE_EXCEEDED"   // gross, share of equity
	ReservationsExceeded   = "RESERVATIONS_FULL"   // the state's own bound
	BuyingPowerUnavailable = "BUYING_POWER_UNAVAILABLE"
	BuyingPowerExceeded    = "BUYING_POWER_EXCEEDED"
)
