// Package onboard is how users come to the platform, change their keys and leave it, whoever asks for it: the command or a
// console. Each step may be the last before a stop: the same call, made again, goes on from there.
//
//	Set, Rotate: ask Alpaca ─▶ store as a new version ─▶ read it back ─▶ users/{uid}.key_version: the next request carries it
//	Revoke:      key_version past all there are ─▶ take the keys out of every vault
//	Remove:      status disabled, removed_at ─▶ documents, keys, legacy documents ─▶ users/{uid} ─▶ a note for the roster
package onboard

import (
	"context"
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/broker"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// The errors of a check of keys, told apart with errors.Is.
var (
	// ErrRefused: Alpaca answered, and does not take the keys.
	ErrRefused = errors.New("Alpaca refuses these keys") //nolint:staticcheck // a name
	// ErrUnanswered: nobody knows whether the keys are good.
	ErrUnanswered = errors.New("Alpaca could not be asked") //nolint:staticcheck // a name
)

// Accepted is what Alpaca says of keys that it takes.
type Accepted struct {
	Env       broker.Env
	AccountID string
	Status    string // of the account: "ACTIVE", …
}

// Ask finds out which of the environments takes the keys, in this order. An environment that does not answer counts only if no
// other one takes them.
func Ask(ctx context.Context, b broker.Broker, creds secret.Credentials, envs ...broker.Env) (Accepted, error) {
	var errs []error
	class := ErrRefused
	for _, env := range envs {
		reading, err := ask(ctx, b, creds, env)
		if err == nil {
			return Accepted{Env: env, AccountID: reading.Account.ID, Status: reading.Account.Status}, nil
		}
		if kind := broker.KindOf(err); kind != broker.Unauthorized && kind != broker.Forbidden {
			class = ErrUnanswered
		}
		errs = append(errs, fmt.Errorf("%s: %w", env, err))
	}
	return Accepted{}, fmt.Errorf("%w: %w", class, errors.Join(errs...))
}

func ask(ctx context.Context, b broker.Broker, creds secret.Credentials, env broker.Env) (account.Reading, error) {
	session, err := b.Open(env, creds)
	if err != nil {
		return account.Reading{}, err
	}
	return session.Account(ctx)
}

// Pause stops syncing a user until somebody resumes it.
func Pause(ctx context.Context, users user.Registry, id string) (before, after user.Profile, err error) {
	return users.SetStatus(ctx, id, func(p user.Profile) (user.Status, error) {
		switch p.Status {
		case user.Active, user.Paused:
			return user.Paused, nil
		case user.Pending:
			return "", fmt.Errorf("user %s is pending, and so not synced: there is nothing to pause", id)
		}
		return "", fmt.Errorf("user %s is %.40q: resume the user first", id, p.Status)
	})
}

// Disable stops syncing a user, whatever the status was.
func Disable(ctx context.Context, users user.Registry, id string) (before, after user.Profile, err error) {
	return users.SetStatus(ctx, id, func(user.Profile) (user.Status, error) { return user.Disabled, nil })
}

// Resume makes a user active who was paused or disabled, or whose status is none that the platform knows.
func Resume(ctx context.Context, users user.Registry, id string) (before, after user.Profile, err error) {
	return users.SetStatus(ctx, id, func(p user.Profile) (user.Status, error) {
		if p.Status == user.Pending && p.KeyVersion == "" {
			return "", fmt.Errorf("user %s has no keys yet: 'agenttrader keys set %s' makes the user active", id, id)
		}
		return user.Active, nil
	})
}
