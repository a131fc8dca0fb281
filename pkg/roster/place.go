package roster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Hash places a user: its first bits say in which shard. FNV-1a, and then MurmurHash3's finalizer, since the first bits
// of FNV alone are alike for like ids. https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
func Hash(userID string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(userID) {
		h = (h ^ uint64(userID[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

const maxDepth = 40 // of a shard's bits

// Name is a shard's id: the build that it comes from, and the first bits of its users' hashes.
func Name(build, bits string) string { return build + "-" + bits }

// Bits are the first bits of the hashes of a shard's users.
func (s Shard) Bits() string { return s.ID[strings.LastIndexByte(s.ID, '-')+1:] }

func (s Shard) build() string { return s.ID[:max(0, strings.LastIndexByte(s.ID, '-'))] }

// Holds says whether a user belongs into a shard with these bits.
func Holds(bits string, hash uint64) bool {
	for i := range len(bits) {
		if byte('0'+hash>>(63-i)&1) != bits[i] {
			return false
		}
	}
	return true
}

// Find is the index of the shard that a hash belongs to; -1 if none.
func Find(heads []Shard, hash uint64) int {
	return slices.IndexFunc(heads, func(s Shard) bool { return Holds(s.Bits(), hash) })
}

// Under are the shards that a shard with these bits was split into.
func Under(heads []Shard, bits string) []Shard {
	var under []Shard
	for _, s := range heads {
		if strings.HasPrefix(s.Bits(), bits) {
			under = append(under, s)
		}
	}
	return under
}

// CheckCover says what is wrong with a set of shards: every user must belong into exactly one.
func CheckCover(heads []Shard) error {
	if len(heads) == 0 {
		return errors.New("a roster without shards")
	}
	var covered uint64 // in units of 2^-maxDepth
	seen := make([]string, 0, len(heads))
	for _, s := range heads {
		bits := s.Bits()
		if len(bits) > maxDepth || strings.Trim(bits, "01") != "" {
			return fmt.Errorf("shard id %.80q: want a build and up to %d bits", s.ID, maxDepth)
		}
		seen = append(seen, bits)
		covered += 1 << (maxDepth - len(bits))
	}
	slices.Sort(seen)
	for i := 1; i < len(seen); i++ {
		if strings.HasPrefix(seen[i], seen[i-1]) {
			return fmt.Errorf("shards %q and %q overlap", seen[i-1], seen[i])
		}
	}
	if covered != 1<<maxDepth {
		return errors.New("the shards do not cover all users")
	}
	return nil
}
