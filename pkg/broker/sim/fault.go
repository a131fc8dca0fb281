package sim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// faultKind is one sort of fault; serve answers the request, and says whether it did.
type faultKind struct {
	name  string
	serve func(s *Server, w http.ResponseWriter, r *http.Request) bool
}

// faultKinds: a further kind is a further row.
func faultKinds() []faultKind {
	return []faultKind{
		{"401", func(_ *Server, w http.ResponseWriter, _ *http.Request) bool { unauthorized(w); return true }},
		{"hang", func(s *Server, _ http.ResponseWriter, r *http.Request) bool {
			select { // no answer until the client gives up
			case <-r.Context().Done():
			case <-s.closed:
			}
			panic(http.ErrAbortHandler) // the connection ends without one
		}},
	}
}

// Fault makes the calls of some keys fail.
type Fault struct {
	kind  faultKind
	share float64 // of the keys; the same ones for the same seed
	key   string  // or this one
}

// ParseFault reads "401=2%" (a share of the keys) or "hang=PKSIM0000007" (that key).
func ParseFault(text string) (Fault, error) {
	name, value, ok := strings.Cut(text, "=")
	var f Fault
	var known []string
	for _, k := range faultKinds() {
		known = append(known, k.name)
		if k.name == name {
			f.kind = k
		}
	}
	if !ok || f.kind.serve == nil || value == "" {
		return Fault{}, fmt.Errorf("fault %q: want one of %s with a share of the keys or a key, like 401=2%%", text, strings.Join(known, ", "))
	}
	number, isShare := strings.CutSuffix(value, "%")
	if !isShare {
		f.key = value
		return f, nil
	}
	share, err := strconv.ParseFloat(number, 64)
	if err != nil || !(share >= 0 && share <= 100) {
		return Fault{}, fmt.Errorf("fault %q: want a share from 0%% to 100%%", text)
	}
	f.share = share / 100
	return f, nil
}

func (f Fault) hits(seed uint64, keyID string) bool {
	if f.key != "" {
		return f.key == keyID
	}
	return float64(hash(seed, f.kind.name+"/"+keyID)>>11)/(1<<53) < f.share
}
