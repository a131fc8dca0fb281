package onboard

import (
	"context"
	"slices"

	"github.com/agenttrader/agenttrader/pkg/account"
	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/migration"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// legacy is what there is of the predecessor's that may be one user's.
type legacy struct {
	theirs  []document.Document
	shared  []string // paths of what is others' too
	unnamed string   // path of a signal that names nobody; "": none was seen, or somebody is known to own them
}

// legacyOf are the predecessor's documents that are this user's: the account of a tenant that nobody else has, the account that
// was there before there were users if it says so, and signals that say so or are of that tenant. What names nobody is the legacy user's.
func (r *Remover) legacyOf(ctx context.Context, p user.Profile) (of legacy, err error) {
	first, err := r.legacyUser(ctx)
	if err != nil {
		return of, err
	}
	alone := false
	if p.TenantID != "" && user.CheckTenant(p.TenantID) == nil {
		if alone, err = r.nobodyElse(ctx, p.TenantID, p.ID); err != nil {
			return of, err
		}
		switch d, err := document.Find(ctx, r.DB, account.TenantPath(p.TenantID)); {
		case err != nil:
			return of, err
		case d != nil && alone:
			of.theirs = append(of.theirs, *d)
		case d != nil:
			of.shared = append(of.shared, d.Path)
		}
	}
	switch d, err := document.Find(ctx, r.DB, account.GlobalPath); {
	case err != nil:
		return of, err
	case d != nil && (d.Fields["user_id"] == p.ID || d.Fields["user_id"] == nil && first == p.ID):
		of.theirs = append(of.theirs, *d)
	}
	signals, err := r.DB.Query(ctx, document.Query{Collection: store.Signals, Where: map[string]any{"user_id": p.ID}})
	if err != nil {
		return of, err
	}
	of.theirs = append(of.theirs, signals...)
	if alone {
		signals, err = r.DB.Query(ctx, document.Query{Collection: store.Signals, Where: map[string]any{"tenant_id": p.TenantID}})
		if err != nil {
			return of, err
		}
		for _, d := range signals {
			if d.Fields["user_id"] == nil {
				of.theirs = append(of.theirs, d)
			}
		}
	}
	if first != "" && first != p.ID {
		return of, nil
	}
	return of, r.unnamed(ctx, p, first, &of)
}

// legacyUser is whose the account is that was there before there were users: as configured, or as the one migration of it says. "": nobody
// has said.
func (r *Remover) legacyUser(ctx context.Context) (string, error) {
	if r.LegacyUser != "" {
		return r.LegacyUser, nil
	}
	docs, err := r.DB.Query(ctx, document.Query{Collection: migration.Records, Where: map[string]any{"legacy": true}, Select: []string{"legacy"}, Limit: 2})
	if err != nil || len(docs) != 1 {
		return "", err
	}
	return docs[0].ID(), nil
}

// nobodyElse says whether a tenant is no other user's.
func (r *Remover) nobodyElse(ctx context.Context, tenant, userID string) (bool, error) {
	docs, err := r.DB.Query(ctx, document.Query{Collection: store.Users, Where: map[string]any{"tenant_id": tenant}, Select: []string{"tenant_id"}, Limit: 2})
	return !slices.ContainsFunc(docs, func(d document.Document) bool { return d.ID() != userID }), err
}

// unnamed looks for signals that name nobody, which no query can ask for. They are the legacy user's; if nobody has said who that is, a
// look at the first of them is enough to tell that there are some.
func (r *Remover) unnamed(ctx context.Context, p user.Profile, first string, of *legacy) error {
	free, err := r.nobodyElse(ctx, migration.LocalTenant, p.ID)
	if err != nil {
		return err
	}
	const look = 300
	seen := 0
	for d, err := range document.All(ctx, r.DB, document.Query{Collection: store.Signals, Select: []string{"user_id", "tenant_id"}}) {
		if err != nil {
			return err
		}
		tenant := d.Fields["tenant_id"]
		names := d.Fields["user_id"] != nil && d.Fields["user_id"] != "" ||
			tenant != nil && tenant != "" && (tenant != migration.LocalTenant || !free || p.TenantID == migration.LocalTenant)
		switch {
		case names:
		case first == "":
			of.unnamed = d.Path
			return nil
		default:
			of.theirs = append(of.theirs, d)
		}
		if seen++; first == "" && seen == look { // as many as All reads at once
			return nil
		}
	}
	return nil
}
