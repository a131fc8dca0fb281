// Package migration moves users from the predecessor's single-tenant layout to the user-scoped one, beside a platform that runs.
//
//	tenants/{tid}/accounts/primary ─┐
//	alpacaAccounts/snapshot ────────┴─▶ users/{uid}, users/{uid}/alpacaAccounts/snapshot     Mover.User
//	tradingSignals/{id} ──────────────▶ users/{uid}/tradingSignals/{id}                      Mover.Signals
//	what was copied, and is no longer needed ──▶ migrations/{uid}/backups/{id}               Mover.PruneUser, PruneSignals
//	and all of it back                                                                       Mover.TakeBack
//
// Each step is one commit of one user's documents, which takes effect only if they are still what it was decided on: it may be
// stopped at any point, run twice at once, and run again. What was done is in the user's record, migrations/{uid}, written in the
// same commit. No locks are held: whoever dies on the way holds up neither the platform nor the next run.
package migration

import (
	"errors"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// The paths of the predecessor's layout, and of what is kept of a migration.
const (
	GlobalSnapshot = store.Accounts + "/" + store.SnapshotID // of the one user of a single-tenant deployment
	GlobalSignals  = store.Signals                           // a collection at the top level
	Tenants        = "tenants"
	TenantAccounts = "accounts"
	primaryID      = "primary"
	Records        = "migrations"
	Backups        = "backups"
)

// LocalTenant is the tenant of every sync that named none: its document is of whoever came last, and of nobody for certain.
const LocalTenant = "local"

// TenantSnapshot is the snapshot of a tenant.
func TenantSnapshot(tid string) string {
	return Tenants + "/" + tid + "/" + TenantAccounts + "/" + primaryID
}

func recordPath(uid string) string { return Records + "/" + uid }

// Row is a user who is to be there, as a list of users or the documents found say.
type Row struct {
	UserID      string
	TenantID    string // "" is none
	Email       string
	DisplayName string
	Status      user.Status // of a user who is created: "" is user.Pending
	BrokerEnv   string      // the same: "" is not said
	Legacy      bool        // theirs is the global snapshot, and the signals that name nobody
	Known       bool        // there was a document of the user when the rows were gathered: if it is gone, they were removed
}

// Check names every fault of a row.
func (r Row) Check() error {
	errs := []error{user.CheckID(r.UserID), user.CheckEmail(r.Email), user.CheckName(r.DisplayName)}
	if r.TenantID != "" {
		errs = append(errs, user.CheckTenant(r.TenantID))
	}
	if r.Status != "" {
		errs = append(errs, CheckStatus(r.Status))
	}
	if r.BrokerEnv != "" && r.BrokerEnv != "paper" && r.BrokerEnv != "live" {
		errs = append(errs, fmt.Errorf("broker_env %.20q: want paper or live", r.BrokerEnv))
	}
	return errors.Join(errs...)
}

// sources are the paths of the snapshots that may be the user's.
func (r Row) sources() (paths []string) {
	if r.TenantID != "" {
		paths = append(paths, TenantSnapshot(r.TenantID))
	}
	if r.Legacy {
		paths = append(paths, GlobalSnapshot)
	}
	return paths
}

// Owners says whose a legacy signal is.
type Owners struct {
	users   map[string]bool
	tenants map[string]string
	legacy  string
}

// NewOwners is of these users.
func NewOwners(rows []Row) *Owners {
	o := &Owners{users: make(map[string]bool, len(rows)), tenants: map[string]string{}}
	for _, r := range rows {
		o.users[r.UserID] = true
		if r.TenantID != "" {
			o.tenants[r.TenantID] = r.UserID
		}
		if r.Legacy {
			o.legacy = r.UserID
		}
	}
	return o
}

// Of is the user whose signal this is. If it is nobody's for certain, why says what to do.
func (o *Owners) Of(d document.Document) (uid, why string) {
	named, tenant, err := identity(d)
	if err != nil {
		return "", err.Error()
	}
	of := o.tenants[tenant]
	switch {
	case named != "" && !o.users[named]:
		return "", fmt.Sprintf("is of user %.128q, who is not among those to migrate", named)
	case named != "" && of != "" && of != named:
		return "", fmt.Sprintf("is of user %s, and of tenant %.128q, which is user %s", named, tenant, of)
	case named != "":
		return named, ""
	case tenant != "" && of != "":
		return of, ""
	case tenant != "" && tenant != LocalTenant:
		return "", fmt.Sprintf("is of tenant %.128q, which is no user's", tenant)
	case o.legacy == "":
		return "", "names no user: say whose they are with --legacy-user"
	}
	return o.legacy, ""
}

// identity is whose a legacy document says it is.
func identity(d document.Document) (uid, tenant string, err error) {
	for name, to := range map[string]*string{"user_id": &uid, "tenant_id": &tenant} {
		switch v := d.Fields[name].(type) {
		case nil:
		case string:
			*to = v
		default:
			return "", "", fmt.Errorf("%s: %s is a %T: nobody knows whose it is", d.Path, name, v)
		}
	}
	return uid, tenant, nil
}

// mine refuses a source that says that it is somebody else's.
func (r Row) mine(d document.Document) error {
	uid, tenant, err := identity(d)
	switch {
	case err != nil:
		return err
	case uid != "" && uid != r.UserID:
		return fmt.Errorf("%s is of user %.128q", d.Path, uid)
	case tenant == "" || tenant == r.TenantID || (d.Path == GlobalSnapshot && tenant == LocalTenant):
		return nil
	}
	return fmt.Errorf("%s is of tenant %.128q", d.Path, tenant)
}
