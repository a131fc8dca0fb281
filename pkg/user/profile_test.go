package user_test

import (
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/user"
)

func TestCheckNew(t *testing.T) {
	good := user.Profile{User: user.User{ID: "alice", CadenceMinutes: 1, TenantID: "acme"}, Email: "alice@example.com", DisplayName: "Ælice O’Hara 李"}
	if err := good.CheckNew(); err != nil {
		t.Errorf("a good user: %v", err)
	}
	if err := (user.Profile{User: user.User{ID: "a"}, DisplayName: strings.Repeat("é", 80)}).CheckNew(); err != nil {
		t.Errorf("80 characters, and nothing else: %v", err)
	}
	for name, c := range map[string]struct {
		change func(p *user.Profile)
		want   string
	}{
		"slash":           {func(p *user.Profile) { p.ID = "a/b" }, "user id"},
		"no id":           {func(p *user.Profile) { p.ID = "" }, "user id"},
		"reserved":        {func(p *user.Profile) { p.ID = "__x__" }, "double underscores"},
		"no at":           {func(p *user.Profile) { p.Email = "alice" }, "e-mail"},
		"no domain":       {func(p *user.Profile) { p.Email = "alice@example" }, "e-mail"},
		"half a domain":   {func(p *user.Profile) { p.Email = "alice@example." }, "e-mail"},
		"named address":   {func(p *user.Profile) { p.Email = "Alice <alice@example.com>" }, "e-mail"},
		"two addresses":   {func(p *user.Profile) { p.Email = "a@b.c, d@e.f" }, "e-mail"},
		"long address":    {func(p *user.Profile) { p.Email = strings.Repeat("a", 250) + "@b.example" }, "e-mail"},
		"blank address":   {func(p *user.Profile) { p.Email = " alice@example.com" }, "e-mail"},
		"100 characters":  {func(p *user.Profile) { p.DisplayName = strings.Repeat("é", 100) }, "100 characters, at most 80"},
		"line break":      {func(p *user.Profile) { p.DisplayName = "a\nb" }, "can be seen"},
		"escape":          {func(p *user.Profile) { p.DisplayName = "a\x1b[31mb" }, "can be seen"},
		"turned around":   {func(p *user.Profile) { p.DisplayName = "a\u202eb" }, "can be seen"},
		"blank at an end": {func(p *user.Profile) { p.DisplayName = "alice " }, "blank"},
		"not UTF-8":       {func(p *user.Profile) { p.DisplayName = "\xff" }, "UTF-8"},
		"cadence":         {func(p *user.Profile) { p.CadenceMinutes = 1441 }, "1441 minutes"},
		"tenant":          {func(p *user.Profile) { p.TenantID = "a/b" }, "tenant"},
	} {
		p := good
		c.change(&p)
		if err := p.CheckNew(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something with %q", name, err, c.want)
		}
	}
	bad := user.Profile{User: user.User{ID: "a/b"}, Email: "x"}
	if err := bad.CheckNew(); err == nil || !strings.Contains(err.Error(), "user id") || !strings.Contains(err.Error(), "e-mail") {
		t.Errorf("two faults: %v, want both", err)
	}
}
