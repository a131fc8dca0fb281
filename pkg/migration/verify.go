package migration

import (
	"context"
	"fmt"
	"strings"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// Difference is a document that is not as it should be.
type Difference struct {
	UserID string
	Path   string
	What   string
}

// VerifyUser compares a user with the row and the legacy snapshots. gone: the user was removed since.
func (m *Mover) VerifyUser(ctx context.Context, r Row) (list []Difference, gone bool, err error) {
	v, err := read(ctx, m.DB, r)
	if err != nil {
		return nil, false, fmt.Errorf("user %s: %w", r.UserID, err)
	}
	differs := func(path, format string, args ...any) {
		list = append(list, Difference{r.UserID, path, fmt.Sprintf(format, args...)})
	}
	path := store.UserPath(r.UserID)
	if v.user == nil {
		if gone = v.record.doc != nil || r.Known; !gone {
			differs(path, "is missing")
		}
		return list, gone, nil
	}
	for name, want := range map[string]string{"email": r.Email, "displayName": r.DisplayName, "tenant_id": r.TenantID} {
		if want != "" && v.user.Fields[name] == nil {
			differs(path, "lacks %s", name)
		}
	}
	if t, _ := v.user.Fields["tenant_id"].(string); t != "" && r.TenantID != "" && t != r.TenantID {
		differs(path, "is of tenant %.128q, not of %.128q", t, r.TenantID)
	}
	for _, d := range v.sources {
		if err := r.mine(d); err != nil {
			differs(store.SnapshotPath(r.UserID), "can't be a copy: %v", err)
			continue
		}
		list = append(list, snapshotDifference(r.UserID, d, v.snapshot)...)
	}
	return list, false, nil
}

func snapshotDifference(uid string, source document.Document, target *document.Document) []Difference {
	match, field := compareSnapshots(uid, source, target)
	return difference(uid, store.SnapshotPath(uid), source.Path, match, field)
}

func difference(uid, path, source string, match Match, field string) []Difference {
	what := map[Match]string{
		Missing: "is missing, and " + source + " is there", Behind: "is older than " + source,
		Differs: "differs in " + field + " from " + source,
	}[match]
	if what == "" {
		return nil
	}
	return []Difference{{uid, path, what}}
}

// VerifySignals compares some legacy signals of one user with the user's. gone: the user is not there, for VerifyUser to judge.
func (m *Mover) VerifySignals(ctx context.Context, uid string, sources []document.Document) (list []Difference, gone bool, err error) {
	record, err := document.Find(ctx, m.DB, recordPath(uid))
	if err != nil {
		return nil, false, err
	}
	of, err := owner(ctx, m.DB, uid)
	if err != nil || of == nil {
		return nil, of == nil, err
	}
	all, err := matchSignals(ctx, m.DB, uid, sources, record)
	if err != nil {
		return nil, false, fmt.Errorf("signals of user %s: %w", uid, err)
	}
	for _, s := range all {
		list = append(list, difference(uid, s.path, s.source.Path, s.match, s.field)...)
	}
	return list, false, nil
}

// Pruned is a legacy document that was taken away.
type Pruned struct {
	UserID  string
	Source  document.Document
	damaged *Difference // the backup can't be read
}

// Prunes lists at most limit documents that were taken away, of all users; next is where to go on, "" after the last.
func (m *Mover) Prunes(ctx context.Context, after string, limit int) (list []Pruned, next string, err error) {
	docs, err := m.DB.Query(ctx, document.Query{Collection: Backups, Group: true, After: after, Limit: limit})
	if err != nil {
		return nil, "", fmt.Errorf("list the backups: %w", err)
	}
	for _, d := range docs {
		p := strings.Split(d.Path, "/")
		if len(p) != 4 || p[0] != Records || d.Fields["pruned"] != true {
			continue
		}
		b, err := parseBackup(d)
		of := Pruned{UserID: p[1], Source: b.of}
		if err != nil {
			of.damaged = &Difference{p[1], d.Path, err.Error()}
		}
		list = append(list, of)
	}
	if len(docs) == limit && limit > 0 {
		next = docs[limit-1].Path
	}
	return list, next, nil
}

// VerifyPruned compares a document that was taken away with the user's. gone: the user was removed since.
func (m *Mover) VerifyPruned(ctx context.Context, p Pruned) (list []Difference, gone bool, err error) {
	if p.damaged != nil {
		return []Difference{*p.damaged}, false, nil
	}
	if strings.HasPrefix(p.Source.Path, GlobalSignals+"/") {
		return m.VerifySignals(ctx, p.UserID, []document.Document{p.Source})
	}
	v, err := read(ctx, m.DB, Row{UserID: p.UserID})
	if err != nil || v.user == nil {
		return nil, v.user == nil, err
	}
	return snapshotDifference(p.UserID, p.Source, v.snapshot), false, nil
}
