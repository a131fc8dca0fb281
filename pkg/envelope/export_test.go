package envelope

import "context"

// PutPayload stores what need not be keys.
func (v *Vault) PutPayload(ctx context.Context, userID string, payload []byte, version string) error {
	return v.put(ctx, userID, payload, version)
}

// Remembered are the data keys in memory.
func (v *Vault) Remembered() int { return v.keys.Len() }

// Raw is the memory of a remembered data key.
func (v *Vault) Raw(id string) []byte {
	k, ok := v.keys.Peek(id)
	if !ok {
		return nil
	}
	return k.raw
}

// DataKeyOf is the id of a user's data key.
func (v *Vault) DataKeyOf(userID string) string { return v.dataKeyOf(userID) }
