package roster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/health"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/tick"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// MaxPacked is how many bytes a shard may hold: under Firestore's 1 MiB a document, with room for one tick's changes.
const MaxPacked = 900 << 10

// format is the first byte of all that is packed.
const format = 1

// The flags of an entry.
const (
	flagLive byte = 1 << iota
	flagTrades
	flagRegular
	flagExtended
	flagCadence
	flagKeys
	flagHealth
	flagTenant // the last one that there is room for
)

var errCut = errors.New("packed roster is cut off or damaged")

// states are the health states by their number in the packed form: append only.
var states = [...]health.State{"", health.Degraded, health.RateLimited, health.NeedsReauth, health.Restricted}

// Pack writes the number of entries, and then one after the other: about 35 bytes each, with ids of 28 characters.
func Pack(entries []Entry) string {
	b := binary.AppendUvarint(append(make([]byte, 0, 10+len(entries)*40), format), uint64(len(entries)))
	for _, e := range entries {
		b = e.appendTo(b)
	}
	return string(b)
}

func (e Entry) appendTo(b []byte) []byte {
	state := max(0, slices.Index(states[:], e.Health))
	flags := flag(flagLive, e.BrokerEnv == "live") | flag(flagTrades, e.Trades) |
		flag(flagRegular, e.SyncHours == market.Regular) | flag(flagExtended, e.SyncHours == market.Extended) |
		flag(flagCadence, e.CadenceMinutes > 0) | flag(flagKeys, e.KeyVersion != "") | flag(flagHealth, state > 0) |
		flag(flagTenant, e.TenantID != "")
	b = appendString(append(b, flags), e.UserID)
	if flags&flagCadence != 0 {
		b = binary.AppendUvarint(b, uint64(e.CadenceMinutes))
	}
	if flags&flagTrades != 0 {
		b = binary.AppendUvarint(b, uint64(max(0, e.SlotMinutes))) // 0 is none
	}
	if flags&flagKeys != 0 {
		b = appendString(b, e.KeyVersion)
	}
	if flags&flagHealth != 0 {
		b = append(b, byte(state))
		b = binary.AppendUvarint(b, uint64(max(0, e.NextAttempt)))
		b = appendString(b, e.FailedWith)
	}
	if flags&flagTenant != 0 {
		b = appendString(b, e.TenantID)
	}
	return b
}

func flag(bit byte, set bool) byte {
	if set {
		return bit
	}
	return 0
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Entries iterates over what is packed. Damage ends it with an error: nobody is left out silently.
func Entries(packed string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if packed == "" || packed[0] != format {
			yield(Entry{}, fmt.Errorf("%w: want format %d", errCut, format))
			return
		}
		r := reader{rest: packed[1:]}
		for left := r.uvarint(1 << 40); left > 0 || r.rest != "" || r.bad; left-- {
			e := r.entry()
			r.bad = r.bad || left == 0
			if r.bad || user.CheckID(e.UserID) != nil {
				yield(Entry{}, fmt.Errorf("%w after %d of %d bytes", errCut, len(packed)-len(r.rest), len(packed)))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Unpack is all that is packed.
func Unpack(packed string) ([]Entry, error) {
	list := make([]Entry, 0, len(packed)/30)
	for e, err := range Entries(packed) {
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// reader cuts entries off; their strings share the packed one's memory.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) entry() Entry {
	flags := r.byte()
	e := Entry{UserID: r.string(), BrokerEnv: "paper", SyncHours: market.Always, Trades: flags&flagTrades != 0, SlotMinutes: account.NoSlots}
	if flags&flagLive != 0 {
		e.BrokerEnv = "live"
	}
	switch {
	case flags&flagRegular != 0:
		e.SyncHours = market.Regular
	case flags&flagExtended != 0:
		e.SyncHours = market.Extended
	}
	if flags&flagCadence != 0 {
		e.CadenceMinutes = int(r.uvarint(24 * 60))
	}
	if flags&flagTrades != 0 {
		if n := int(r.uvarint(1 << 20)); n != 0 {
			e.SlotMinutes = n
		}
	}
	if flags&flagKeys != 0 {
		e.KeyVersion = r.string()
	}
	if flags&flagHealth != 0 {
		if n := int(r.byte()); n < len(states) {
			e.Health = states[n]
		} else {
			r.bad = true
		}
		e.NextAttempt, e.FailedWith = tick.Tick(r.uvarint(1<<40)), r.string()
	}
	if flags&flagTenant != 0 {
		e.TenantID = r.string()
	}
	return e
}

func (r *reader) byte() byte {
	if r.rest == "" {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint(most uint64) uint64 {
	var v uint64
	for shift := uint(0); shift < 63; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			r.bad = r.bad || v > most
			return min(v, most)
		}
	}
	r.bad = true
	return 0
}

func (r *reader) string() string {
	n := int(r.uvarint(1 << 20))
	if n > len(r.rest) {
		r.bad, r.rest = true, ""
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// Split packs entries into shards of one build, under bits, as many as it takes for none to be larger than most bytes.
func Split(build, bits string, entries []Entry, most int) []Shard {
	packed := Pack(entries)
	if len(packed) <= most || len(bits) == maxDepth || len(entries) < 2 {
		return []Shard{{ID: Name(build, bits), Users: len(entries), Packed: packed}}
	}
	zero, one := make([]Entry, 0, len(entries)), []Entry{}
	for _, e := range entries {
		if Holds(bits+"0", Hash(e.UserID)) {
			zero = append(zero, e)
		} else {
			one = append(one, e)
		}
	}
	return append(Split(build, bits+"0", zero, most), Split(build, bits+"1", one, most)...)
}

// String is for logs.
func (s Shard) String() string { return strings.TrimSuffix("shard "+s.ID, "-") }
