package onboard

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/store"
)

// Header is the first line of an export.
type Header struct {
	ExportOf  string    `json:"export_of"`
	RemovedAt time.Time `json:"removed_at"` // when the removal began that the export belongs to
}

// Exported is a document in an export: times are RFC 3339, bytes base64.
type Exported struct {
	Path       string          `json:"path"`
	CopyOf     string          `json:"copy_of,omitempty"` // where it was before a migration took it away
	CreateTime time.Time       `json:"create_time"`
	UpdateTime time.Time       `json:"update_time"`
	Fields     document.Fields `json:"fields"`
	Damaged    string          `json:"damaged,omitempty"` // of a copy that can't be read: why; the fields are its own, as they are
}

// plain is a value that JSON can say: a figure that is none, which people may have written, becomes a text.
func plain(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = plain(e)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = plain(e)
		}
		return list
	}
	return v
}

// Export writes all of a user's documents, a line of JSON each, after a Header: what Remove would delete. Keys are not among
// them. What a migration keeps and can't be read any more is written as it is. It changes nothing.
func (r *Remover) Export(ctx context.Context, userID string, w io.Writer) (n int, err error) {
	p, err := r.Users.Profile(ctx, userID)
	if err != nil {
		return 0, err
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	if err := out.Encode(Header{ExportOf: userID, RemovedAt: p.RemovedAt}); err != nil {
		return 0, err
	}
	tell := func(e Exported, d document.Document) error {
		n++
		e.CreateTime, e.UpdateTime, e.Fields = d.CreateTime, d.UpdateTime, plain(d.Fields).(map[string]any)
		if err := out.Encode(e); err != nil {
			return fmt.Errorf("export of %s: %w", e.Path, err)
		}
		return nil
	}
	write := func(path string) error {
		d, err := document.Find(ctx, r.DB, path)
		if err != nil || d == nil {
			return err
		}
		return tell(Exported{Path: path}, *d)
	}
	if err := write(store.UserPath(userID)); err != nil {
		return n, err
	}
	if err := document.Walk(ctx, r.DB, store.UserPath(userID), write); err != nil {
		return n, err
	}
	of, err := r.legacyOf(ctx, p)
	if err != nil {
		return n, err
	}
	for _, d := range of.theirs {
		if err := write(d.Path); err != nil {
			return n, err
		}
	}
	return n, r.mover().Kept(ctx, userID, func(kept, of document.Document, damaged error) error {
		if damaged != nil {
			return tell(Exported{Path: kept.Path, Damaged: damaged.Error()}, kept)
		}
		return tell(Exported{Path: kept.Path, CopyOf: of.Path}, of)
	})
}
