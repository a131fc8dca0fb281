package secret

import (
	"encoding/json"
	"fmt"
)

// ParsePayload reads a secret's payload, {"key_id": "...", "secret_key": "..."}; other fields are let be. Its error
// never quotes the payload.
func ParsePayload(payload []byte) (Credentials, error) {
	var p struct {
		KeyID     string `json:"key_id"`
		SecretKey string `json:"secret_key"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return Credentials{}, fmt.Errorf(`%w: the payload is not JSON like {"key_id": "...", "secret_key": "..."}`, ErrMalformed)
	}
	return NewCredentials(p.KeyID, p.SecretKey)
}

// Payload is what ParsePayload reads. It holds the keys in the clear: for a vault, nowhere else.
func (c Credentials) Payload() []byte {
	keyID, secretKey := c.Reveal()
	b, err := json.Marshal(map[string]string{"key_id": keyID, "secret_key": secretKey})
	if err != nil {
		panic("secret: two strings are no JSON") // they are visible ASCII
	}
	return b
}
