package event

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// NewKeys says that a user's secret has a new version.
type NewKeys struct {
	UserID  string
	Version string // a number, as Secret Manager counts
}

// ParseNewKeys reads Secret Manager's notification as Eventarc brings it: a message published to the topic that the
// secrets name. ok is false where there is nothing to do: another secret than a user's keys, or another change than a
// version that can be used from now on. Its error is a Reject.
// https://cloud.google.com/secret-manager/docs/event-notifications
func ParseNewKeys(e Event) (k NewKeys, ok bool, err error) {
	var published struct {
		Message struct {
			Attributes map[string]string `json:"attributes"`
		} `json:"message"`
	}
	if err := json.Unmarshal(e.Data(), &published); err != nil {
		return k, false, Reject(fmt.Errorf("event of type %s holds no message in JSON: %w", TypeMessage, err))
	}
	a := published.Message.Attributes
	switch a["eventType"] {
	case "SECRET_VERSION_ADD", "SECRET_VERSION_ENABLE":
	case "":
		return k, false, Reject(fmt.Errorf("event of type %s has no attribute eventType: this endpoint takes Secret Manager's notifications", TypeMessage))
	default:
		return k, false, nil
	}
	name, version, found := strings.Cut(a["versionId"], "/versions/")
	if !found {
		name, version = a["secretId"], a["versionId"]
	}
	uid, ours := strings.CutPrefix(name[strings.LastIndexByte(name, '/')+1:], secret.Prefix)
	if !ours {
		return k, false, nil // another application's secret on the same topic
	}
	if err := user.CheckID(uid); err != nil {
		return k, false, Reject(fmt.Errorf("notification of secret %.200q: %w", name, err))
	}
	if n, err := strconv.ParseInt(version, 10, 64); err != nil || n < 1 {
		return k, false, Reject(fmt.Errorf("notification of secret %.200q: version %.40q is no number", name, version))
	}
	return NewKeys{UserID: uid, Version: version}, true, nil
}
