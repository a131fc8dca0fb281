package roster

// Fold puts changes into a shard: the shards to replace it with, more than one if it grew too large. They replace it
// even where they hold the same: another tick that saw older changes must not find the version that it read.
func Fold(s Shard, changes []Change) ([]Shard, error) {
	entries, err := Unpack(s.Packed)
	if err != nil {
		return nil, err
	}
	return Split(s.build(), s.Bits(), Overlay(entries, changes), MaxPacked), nil
}

// Overlay is the entries as the changes say; new ones come last.
func Overlay(entries []Entry, changes []Change) []Entry {
	by := make(map[string]*Entry, len(changes))
	for _, c := range changes {
		by[c.UserID] = c.Entry
	}
	next := make([]Entry, 0, len(entries)+len(changes))
	for _, e := range entries {
		c, changed := by[e.UserID]
		switch {
		case !changed:
			next = append(next, e)
		case c != nil:
			next = append(next, *c)
		}
		delete(by, e.UserID)
	}
	for _, c := range changes {
		if e, waits := by[c.UserID]; waits && e != nil {
			next = append(next, *e)
			delete(by, c.UserID)
		}
	}
	return next
}
