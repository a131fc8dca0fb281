// Package tick is the platform's beat: one tick a minute, and the arithmetic that every instance does alike,
// whatever it remembers.
package tick

import (
	"fmt"
	"hash/fnv"
	"time"
)

// Layout is a tick's text form in documents, message ids and paths: minutes, UTC.
const Layout = "20060102T1504Z"

// HeartbeatEvery is the number of minutes after which a snapshot is written even if nothing changed, so that it
// is never older than four minutes while syncing works.
const HeartbeatEvery = 3

// Tick is a minute, counted from the Unix epoch. The zero Tick is no tick.
type Tick int64

// Of is the minute in which t lies.
func Of(t time.Time) Tick { return Tick(t.Unix() / 60) }

// Time is the start of the tick's minute, UTC.
func (t Tick) Time() time.Time { return time.Unix(int64(t)*60, 0).UTC() }

func (t Tick) String() string { return t.Time().Format(Layout) }

// Parse reads a tick's text form.
func Parse(s string) (Tick, error) {
	at, err := time.Parse(Layout, s)
	if err != nil {
		return 0, fmt.Errorf("tick %.40q: want a UTC minute like 20261124T0930Z", s)
	}
	return Of(at), nil
}

// Due says whether a user with this cadence (minutes, 1 or less is every minute) is synced at this tick:
// (minute + hash(uid)) mod cadence = 0, which spreads slow users evenly.
func (t Tick) Due(userID string, cadence int) bool {
	return cadence <= 1 || phase(t, userID, uint64(cadence)) == 0
}

// Heartbeat says whether a snapshot is written at this tick though nothing changed. At a cadence slower than a
// minute every due tick is a heartbeat.
func (t Tick) Heartbeat(userID string, cadence int) bool {
	return cadence > 1 || phase(t, userID, HeartbeatEvery) == 0
}

// StaleAfter is the age from which a snapshot must not be traded on, by the user's cadence in minutes: the larger
// of 300 s (the predecessor's ALPACA_SNAPSHOT_MAX_AGE_S) and the cadence plus two minutes.
func StaleAfter(limit time.Duration, cadence int) time.Duration {
	return max(limit, time.Duration(cadence+2)*time.Minute)
}

func phase(t Tick, userID string, n uint64) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(userID))
	return (uint64(t)%n + h.Sum64()%n) % n
}
