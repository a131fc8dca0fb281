package health

import "fmt"

// Advice is what a person can do about it, in a sentence or two; "" where there is nothing to do.
func (h Health) Advice() string {
	switch h.State {
	case NeedsReauth:
		return reauthAdvice(h.Cause) + " Syncing starts again at the next minute after new keys are stored; until then the old ones are tried at most once an hour."
	case Restricted:
		return "Alpaca refuses access to the account (403). Log in at Alpaca, look for a restriction or an agreement to sign, and clear it there. It is tried again on its own, at least once an hour."
	case RateLimited:
		return "More than Alpaca's 200 requests a minute were made with these keys. Syncing goes on when the limit resets; if this repeats, give other programs keys of their own account or slow them down."
	case Degraded:
		return degradedAdvice(h.Cause)
	}
	return ""
}

func reauthAdvice(c Cause) string {
	switch c {
	case KeysMissing:
		return "There are no API keys stored for this account. Store its key id and secret key."
	case KeysMalformed:
		return `The stored API keys can't be read. Store them again as {"key_id": "…", "secret_key": "…"}.`
	case KeysDenied:
		return "The stored API keys are disabled, or the platform may not read them. Enable them, or store them again."
	}
	return "Alpaca refuses the API keys (401). Make new ones in Alpaca's dashboard, of the right environment (paper or live), and store them."
}

func degradedAdvice(c Cause) string {
	switch c {
	case Unauthorized, Forbidden, KeysMissing, KeysMalformed, KeysDenied:
		return fmt.Sprintf("The last attempt failed (%s). The next one, a minute later, shows whether it was a slip.", c)
	case Malformed:
		return "Alpaca's answer could not be understood. It is tried again every minute; if it lasts, tell the operator."
	case Rejected:
		return "Alpaca rejected the request. It is tried again every minute; if it lasts, tell the operator."
	}
	return "Alpaca did not answer in time or was unavailable. It is tried again every minute; there is nothing to do."
}
