package fanout

import (
	"context"
	"fmt"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/event"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// note writes down what is true of a user whose documents changed, if the roster has to know. The event only says whom
// to look at: it may be old, or come after a newer one.
func (s *Service) note(ctx context.Context, e event.Event) error {
	if t := e.DataMediaType(); t != "application/protobuf" {
		return event.Reject(fmt.Errorf("content type %.100q: this endpoint takes application/protobuf (set the trigger's event_data_content_type)", t))
	}
	c, err := document.DecodeChange(e.Data())
	if err != nil {
		return event.Reject(err)
	}
	userID, kind, matters := store.RosterChange(c)
	if !matters {
		return nil
	}
	if err := user.CheckID(userID); err != nil {
		return event.Drop(err) // nobody who could be in the roster
	}
	return s.Notes.Refresh(ctx, userID, kind)
}
