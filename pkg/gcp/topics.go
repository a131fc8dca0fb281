package gcp

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// Topics are the ids of the platform's Pub/Sub topics.
type Topics struct {
	Ticks       string   `env:"SYNC_TICKS_TOPIC"`
	Requests    []string `env:"SYNC_REQUESTS_TOPIC"` // several: the users are spread over them
	DeadLetters string   `env:"DEAD_LETTERS_TOPIC"`
}

// DefaultTopics are those that the Terraform makes.
func DefaultTopics() Topics {
	return Topics{Ticks: "sync-ticks", Requests: []string{"sync-requests"}, DeadLetters: "dead-letters"}
}

// https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
var topicID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)

// Validate names every fault.
func (t *Topics) Validate() error {
	var errs []error
	topics := []struct{ name, id string }{{"SYNC_TICKS_TOPIC", t.Ticks}, {"DEAD_LETTERS_TOPIC", t.DeadLetters}}
	for i, id := range t.Requests {
		if slices.Contains(t.Requests[:i], id) {
			errs = append(errs, fmt.Errorf("SYNC_REQUESTS_TOPIC names %.80q twice", id))
		}
		topics = append(topics, struct{ name, id string }{"SYNC_REQUESTS_TOPIC", id})
	}
	if len(t.Requests) == 0 {
		errs = append(errs, errors.New("SYNC_REQUESTS_TOPIC is empty: want a topic's id, or several with commas"))
	}
	for _, v := range topics {
		if !topicID.MatchString(v.id) {
			errs = append(errs, fmt.Errorf("%s is %.80q: want a topic's id, like sync-requests", v.name, v.id))
		}
	}
	return errors.Join(errs...)
}
