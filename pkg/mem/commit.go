package mem

import (
	"context"

	"github.com/agenttrader/agenttrader/pkg/document"
)

// Commit implements document.Committer.
func (db *DB) Commit(ctx context.Context, writes []document.Write) error {
	kinds := map[document.Op]string{document.ToCreate: "create", document.ToSet: "set", document.ToUpdate: "update", document.ToDelete: "delete"}
	ws := make([]write, len(writes))
	for i, w := range writes {
		ws[i] = write{kind: kinds[w.Op], path: w.Path, fields: w.Fields, at: w.At}
	}
	return db.around(ctx, "commit", "", func() error {
		db.mu.Lock()
		defer db.mu.Unlock()
		return db.commit(ws)
	})
}
