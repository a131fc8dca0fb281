package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Unclaimed is a legacy document that is nobody's for certain, and is left where it is.
type Unclaimed struct {
	Path string
	Why  string
}

// People are the users who are there, by id, with their tenants ("" is none).
type People map[string]string

// People lists all users.
func (m *Mover) People(ctx context.Context) (People, error) {
	all := People{}
	for d, err := range document.All(ctx, m.DB, document.Query{Collection: store.Users, Select: []string{"tenant_id"}}) {
		if err != nil {
			return nil, fmt.Errorf("list the users: %w", err)
		}
		all[d.ID()], _ = d.Fields["tenant_id"].(string)
	}
	return all, nil
}

// byTenant is the users of each tenant.
func (p People) byTenant() map[string][]string {
	of := map[string][]string{}
	for uid, tenant := range p {
		if tenant != "" {
			of[tenant] = append(of[tenant], uid)
		}
	}
	return of
}

// WithLegacy marks the legacy user, if one is named, and adds them if they are none of the rows.
func WithLegacy(rows []Row, uid string) []Row {
	if uid == "" {
		return rows
	}
	at := slices.IndexFunc(rows, func(r Row) bool { return r.UserID == uid })
	if at < 0 {
		at = len(rows)
		rows = append(rows, Row{UserID: uid})
	}
	rows[at].Legacy = true
	return rows
}

// Match marks the listed users who are there, with their tenants, and names every row that contradicts the users who are there: name
// says what a row is called.
func (p People) Match(rows []Row, name func(i int) string) error {
	of := p.byTenant()
	var errs []error
	for i := range rows {
		r := &rows[i]
		tenant, known := p[r.UserID]
		r.Known = known
		switch {
		case r.TenantID == "" && tenant != LocalTenant:
			r.TenantID = tenant
		case r.TenantID != "" && tenant != "" && tenant != r.TenantID:
			errs = append(errs, fmt.Errorf("%s: user %s is of tenant %.128q already, not of %.128q", name(i), r.UserID, tenant, r.TenantID))
		}
		for _, other := range of[r.TenantID] {
			if other != r.UserID {
				errs = append(errs, fmt.Errorf("%s: tenant %.128q of user %s is user %s's already", name(i), r.TenantID, r.UserID, other))
			}
		}
	}
	return errors.Join(errs...)
}

// Found makes rows of all users who are there, and of the tenants that have a snapshot. A tenant is the user that its snapshot names, or
// the one user whose document names it, or a user of the tenant's own id.
func (m *Mover) Found(ctx context.Context, p People) (rows []Row, left []Unclaimed, err error) {
	rowOf, of := map[string]int{}, p.byTenant()
	for uid, tenant := range p {
		if user.CheckID(uid) != nil {
			continue
		}
		if tenant == LocalTenant || len(of[tenant]) > 1 {
			tenant = "" // nobody's for certain
		}
		rowOf[uid] = len(rows)
		rows = append(rows, Row{UserID: uid, TenantID: tenant, Known: true})
	}
	err = m.eachTenant(ctx, func(tid string, d document.Document) {
		uid, why := claim(tid, d, of[tid])
		if has := p[uid]; why == "" && has != "" && has != tid {
			why = fmt.Sprintf("says user %s, who is of tenant %.128q: list the users in a file", uid, has)
		}
		if i, there := rowOf[uid]; why == "" && there && rows[i].TenantID != "" && rows[i].TenantID != tid {
			why = fmt.Sprintf("is user %s, and so is tenant %.128q: list the users in a file", uid, rows[i].TenantID)
		}
		if why != "" {
			for _, uid := range of[tid] {
				if i, there := rowOf[uid]; there {
					rows[i].TenantID = ""
				}
			}
			left = append(left, Unclaimed{d.Path, why})
			return
		}
		if i, there := rowOf[uid]; there {
			rows[i].TenantID = tid
			return
		}
		rowOf[uid] = len(rows)
		rows = append(rows, Row{UserID: uid, TenantID: tid})
	})
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.UserID, b.UserID) })
	return rows, left, err
}

// claim says whose tenant this is, or why it is nobody's for certain.
func claim(tid string, d document.Document, users []string) (uid, why string) {
	named, _, err := identity(d)
	switch {
	case err != nil:
		return "", err.Error()
	case tid == LocalTenant:
		return "", "every sync without a tenant wrote here, whoever's: list its user in a file, with the tenant_id, if there was only one"
	case len(users) > 1:
		slices.Sort(users)
		return "", fmt.Sprintf("%d users name this tenant, %s and %s among them: list the right one in a file, and take it from the others", len(users), users[0], users[1])
	case named != "" && len(users) == 1 && users[0] != named:
		return "", fmt.Sprintf("says user %.128q, and user %s says to be this tenant: list the right one in a file", named, users[0])
	case len(users) == 1:
		uid = users[0]
	case named != "":
		uid = named
	default:
		uid = tid
	}
	if err := user.CheckID(uid); err != nil {
		return "", err.Error() + ": list its user in a file"
	}
	return uid, ""
}

// TenantsLeft lists the tenants' snapshots that are of none of the rows.
func (m *Mover) TenantsLeft(ctx context.Context, rows []Row) (left []Unclaimed, err error) {
	tenants := make(map[string]bool, len(rows))
	for _, r := range rows {
		tenants[r.TenantID] = true
	}
	err = m.eachTenant(ctx, func(tid string, d document.Document) {
		if !tenants[tid] {
			left = append(left, Unclaimed{d.Path, "no user to migrate is of this tenant"})
		}
	})
	return left, err
}

// GlobalLeft is the global snapshot, if it is of none of the rows.
func (m *Mover) GlobalLeft(ctx context.Context, rows []Row) (left []Unclaimed, err error) {
	if slices.ContainsFunc(rows, func(r Row) bool { return r.Legacy }) {
		return nil, nil
	}
	d, err := document.Find(ctx, m.DB, GlobalSnapshot)
	if d != nil {
		left = append(left, Unclaimed{GlobalSnapshot, "names no user: say whose it is with --legacy-user"})
	}
	return left, err
}

// eachTenant calls fn with each tenant that has a snapshot. The tenants need have no documents of their own, so the snapshots are listed.
func (m *Mover) eachTenant(ctx context.Context, fn func(tid string, d document.Document)) error {
	for d, err := range document.All(ctx, m.DB, document.Query{Collection: TenantAccounts, Group: true, Select: []string{"user_id", "tenant_id"}}) {
		if err != nil {
			return fmt.Errorf("list the tenants' snapshots: %w", err)
		}
		if p := strings.Split(d.Path, "/"); len(p) == 4 && p[0] == Tenants && p[3] == primaryID {
			fn(p[1], d)
		}
	}
	return nil
}
