package gcp

import (
	"errors"
	"fmt"
	"regexp"
)

// Topics are the ids of the platform's Pub/Sub topics.
type Topics struct {
	Ticks       string `env:"SYNC_TICKS_TOPIC"`
	Requests    string `env:"SYNC_REQUESTS_TOPIC"`
	DeadLetters string `env:"DEAD_LETTERS_TOPIC"`
}

// DefaultTopics are those that the Terraform makes.
func DefaultTopics() Topics {
	return Topics{Ticks: "sync-ticks", Requests: "sync-requests", DeadLetters: "dead-letters"}
}

// https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
var topicID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)

// Validate names every fault.
func (t *Topics) Validate() error {
	var errs []error
	for _, v := range []struct{ name, id string }{{"SYNC_TICKS_TOPIC", t.Ticks}, {"SYNC_REQUESTS_TOPIC", t.Requests}, {"DEAD_LETTERS_TOPIC", t.DeadLetters}} {
		if !topicID.MatchString(v.id) {
			errs = append(errs, fmt.Errorf("%s is %.80q: want a topic's id, like sync-requests", v.name, v.id))
		}
	}
	return errors.Join(errs...)
}
