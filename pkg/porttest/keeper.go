package porttest

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// Keeper is the contract of secret.Keeper. open gives an empty one.
func Keeper(t *testing.T, open func(t *testing.T) secret.Keeper) {
	ctx := t.Context()
	k := open(t)
	keys := func(name string) secret.Credentials {
		c, err := secret.NewCredentials("PK"+name, "very-secret-"+name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	put := func(uid, name, version string, want error) {
		t.Helper()
		err := k.Put(ctx, uid, keys(name), version)
		if !errors.Is(err, want) {
			t.Errorf("put %s as %s: %v, want %v", name, version, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "very-secret") || !strings.Contains(err.Error(), uid)) {
			t.Errorf("put %s as %s: the error must name the user and never the key: %v", name, version, err)
		}
	}
	get := func(uid, version, wantName, wantVersion string) {
		t.Helper()
		creds, got, err := k.Credentials(ctx, uid, version)
		if err != nil || got != wantVersion || !creds.Same(keys(wantName)) {
			t.Errorf("version %q: got version %q, %v; want %s as %s", version, got, err, wantName, wantVersion)
		}
	}
	gone := func(uid, version string) {
		t.Helper()
		if _, _, err := k.Credentials(ctx, uid, version); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("version %q: %v, want ErrNotFound", version, err)
		}
	}
	put("u", "one", "1", nil)
	get("u", "", "one", "1")
	put("u", "other", "1", secret.ErrNewer)
	put("u", "two", "2", nil)
	get("u", "2", "two", "2")
	put("u", "older", "1", secret.ErrNewer)
	put("u", "six", "6", nil)
	for _, v := range []string{"", secret.Latest, "6"} {
		get("u", v, "six", "6")
	}
	for _, passedOver := range []string{"3", "5"} {
		get("u", passedOver, "six", "6")
	}
	gone("u", "7")
	put("u", "five", "5", secret.ErrNewer)
	get("u", "", "six", "6")
	put("first", "late", "3", nil) // a move: the versions go on from where they were
	get("first", "3", "late", "3")
	for _, bad := range []string{"", "0", "-1", "latest", "1.5", "07", "99999999999999999999"} {
		if err := k.Put(ctx, "u", keys("x"), bad); err == nil || errors.Is(err, secret.ErrNewer) {
			t.Errorf("version %q: %v, want an error that tells it", bad, err)
		}
	}

	top := func(uid string, want int64) {
		t.Helper()
		if n, err := k.Newest(ctx, uid); err != nil || n != want {
			t.Errorf("newest of %s: %d, %v; want %d", uid, n, err, want)
		}
	}
	top("u", 6)
	top("first", 3)
	top("nobody", 0)
	put("old", "one", "1", nil)
	put("old", "two", "2", nil)
	for _, missing := range []string{"3", "", "latest"} {
		if n, err := k.Prune(ctx, "old", missing); !errors.Is(err, secret.ErrNotFound) || n != 0 {
			t.Errorf("prune below version %q, which is not there: %d, %v; want ErrNotFound", missing, n, err)
		}
	}
	if _, err := k.Prune(ctx, "nobody", "1"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("prune the keys of nobody: %v, want ErrNotFound", err)
	}
	for range 2 {
		if n, err := k.Prune(ctx, "old", "2"); err != nil || n > 1 {
			t.Errorf("prune below 2: %d, %v; want one at most", n, err)
		}
		get("old", "1", "two", "2")
		get("old", "2", "two", "2")
		top("old", 2)
	}
	if n, err := k.Prune(ctx, "old", "2"); err != nil || n != 0 {
		t.Errorf("pruned again: %d, %v; want nothing", n, err)
	}

	if err := k.Put(ctx, "zero", secret.Credentials{}, "1"); err == nil || errors.Is(err, secret.ErrNewer) || !strings.Contains(err.Error(), "zero") {
		t.Errorf("no keys at all: %v, want an error that names the user", err)
	}
	if _, _, err := k.Credentials(ctx, "zero", ""); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("no keys at all were stored: %v", err)
	}

	if err := k.Remove(ctx, "u", "5"); !errors.Is(err, secret.ErrNewer) {
		t.Errorf("removing version 5 of keys at 6: %v, want ErrNewer", err)
	}
	get("u", "", "six", "6")
	for _, upTo := range []string{"6", "6", "", "1"} { // what is not there is no error
		if err := k.Remove(ctx, "u", upTo); err != nil {
			t.Errorf("remove up to %q: %v", upTo, err)
		}
		gone("u", "")
		gone("u", "6")
	}
	get("first", "", "late", "3")

	// Many write the same version at once: one wins, and what is read is the winner's.
	won := make([]bool, 8)
	var g errgroup.Group
	for i := range won {
		g.Go(func() error {
			err := k.Put(ctx, "race", keys(string(rune('a'+i))), "1")
			if won[i] = err == nil; errors.Is(err, secret.ErrNewer) {
				err = nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Errorf("a race: %v", err)
	}
	creds, _, err := k.Credentials(ctx, "race", "")
	winners := 0
	for i, ok := range won {
		if ok {
			winners++
			if err != nil || !creds.Same(keys(string(rune('a'+i)))) {
				t.Errorf("a race: the winner's keys are not there: %v", err)
			}
		}
	}
	if winners > 1 || err != nil {
		t.Errorf("a race: %d winners, %v; want one at most, and keys", winners, err)
	}
}
