package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agenttrader/agenttrader/pkg/user"
)

// GlobalPath is the predecessor's snapshot of its one account.
const GlobalPath = "alpacaAccounts/snapshot"

// TenantPath is the predecessor's snapshot of a tenant.
func TenantPath(tenantID string) string { return "tenants/" + tenantID + "/accounts/primary" }

// Path is a user's snapshot.
func Path(userID string) string { return "users/" + userID + "/" + GlobalPath }

// Phase is how far the readers of the predecessor's paths have moved. It goes forward and back (docs/migration.md).
type Phase string

// The phases.
const (
	Both      Phase = "both"       // all paths are written; the predecessor's are read first
	UserFirst Phase = "user-first" // all paths are written; the users' are read first
	Off       Phase = "off"        // the users' paths alone are written and read
)

// Legacy says for whom the predecessor's paths are written and read.
type Legacy struct {
	Phase Phase  `env:"LEGACY_PHASE"`
	User  string `env:"LEGACY_USER"` // whose alpacaAccounts/snapshot is; "": nobody's
}

// Validate names every fault.
func (l *Legacy) Validate() error {
	var errs []error
	if l.Phase != Both && l.Phase != UserFirst && l.Phase != Off {
		errs = append(errs, fmt.Errorf("LEGACY_PHASE is %.80q: want %s, %s or %s", string(l.Phase), Both, UserFirst, Off))
	}
	if l.User != "" {
		if err := user.CheckID(l.User); err != nil {
			errs = append(errs, fmt.Errorf("LEGACY_USER: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Copy is one of the predecessor's documents of a user's account.
type Copy struct {
	Path     string
	TenantID string // as the user's document says; "" if it says nothing
}

// Writes says that the predecessor's paths are written at all.
func (l Legacy) Writes() bool { return l.Phase == Both || l.Phase == UserFirst }

// Covers says that some of the predecessor's paths are a user's.
func (l Legacy) Covers(userID, tenantID string) bool {
	return l.Writes() && (tenantID != "" || (l.User != "" && l.User == userID))
}

// Copies are a user's: of a tenant that is said, never of one that is made up, and of the one user who has the
// predecessor's own. The error is of a tenant that is no part of a path; the others are good.
func (l Legacy) Copies(userID, tenantID string) (copies []Copy, err error) {
	if !l.Covers(userID, tenantID) {
		return nil, nil
	}
	if tenantID != "" {
		if err = user.CheckTenant(tenantID); err == nil {
			copies = append(copies, Copy{Path: TenantPath(tenantID), TenantID: tenantID})
		} else {
			err = fmt.Errorf("user %s: %w: nothing is written for this tenant's readers", userID, err)
			tenantID = ""
		}
	}
	if l.User != "" && l.User == userID {
		copies = append(copies, Copy{Path: GlobalPath, TenantID: tenantID})
	}
	return copies, err
}

// CopyFields is the snapshot in the predecessor's shape. What is nil is removed from the document, if it is there: what
// the broker no longer says, and the predecessor's other shape. updated_at is left to the store.
func (s Snapshot) CopyFields(tenantID string) map[string]any {
	return map[string]any{
		"broker":              Broker,
		"external_account_id": s.Account.ID,
		"status":              s.Account.Status,
		"equity":              number(s.Account.Equity),
		"buying_power":        number(s.Account.BuyingPower),
		"cash":                number(s.Account.Cash),
		"updated_at_iso":      s.ObservedAt.UTC().Format(time.RFC3339Nano),
		"user_id":             orNil(s.UserID), // who else may read it
		"tenant_id":           orNil(tenantID),
		"raw":                 s.Raw,

		"account": nil, "syncedAt": nil,
	}
}

// ErrOthers says that a copy is somebody else's, who still writes it.
var ErrOthers = errors.New("is written for somebody else")

// CopyStore is a Store that writes the predecessor's documents too. A copy that is written is in the same commit as all
// else of the call. Of the copies it leaves alone
//   - silently those that hold a newer observation already, unless that is minutes ahead, as of a clock that is wrong;
//   - with left, an ErrOthers that names both, those of another user who has the same tenant, or who is written for at the
//     moment while s is nobody's. What else was to be written is written.
type CopyStore interface {
	Store
	// PutWithCopies is Store.PutSnapshot, with the copies. A write that nobody got in between of since the last one with the
	// same copies costs no read.
	PutWithCopies(ctx context.Context, s Snapshot, copies []Copy) (version time.Time, left, err error)
	// PutCopies writes the copies alone: of an account that belongs to no user.
	PutCopies(ctx context.Context, s Snapshot, copies []Copy) (left, err error)
}
