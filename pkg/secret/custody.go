package secret

import "context"

// Custody is where a platform's keys are, for those who store them.
type Custody struct {
	// Vault reads as the services do.
	Vault Vault
	// Keepers are all vaults that may hold keys, the preferred one first.
	Keepers []Keeper
	// Into, if set, is one of them which users leave one by one: whoever has keys in it gets the next ones there too, so that
	// the versions go on when they are moved. Everybody else's go to the first.
	Into Keeper
}

// Next is the keeper that a user's next keys go to, and the number above all that any keeper has had of the user.
func (c Custody) Next(ctx context.Context, userID string) (into Keeper, number int64, err error) {
	into = c.Keepers[0]
	for _, k := range c.Keepers {
		n, err := k.Newest(ctx, userID)
		if err != nil {
			return nil, 0, err
		}
		if number = max(number, n); n > 0 && k == c.Into {
			into = k
		}
	}
	return into, number + 1, nil
}
