package user_test

import (
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// A user id is part of paths and of secrets' names: nothing in it may lead elsewhere.
func TestCheckID(t *testing.T) {
	for id, ok := range map[string]bool{
		"alice": true, "A-b_9": true, "7": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a/b": false, "..": false, ".": false, "a b": false, "alice\n": false, "\nalice": false, "é": false, "a\x00": false, "a%2fb": false, "a:b": false,
	} {
		err := user.CheckID(id)
		if (err == nil) != ok || err != nil && len(err.Error()) > 300 {
			t.Errorf("CheckID(%q) = %v, want ok %t", id, err, ok)
		}
	}
	if err := document.CheckID("__alice__"); err == nil {
		t.Fatal("the database takes reserved ids now: CheckID need not refuse them")
	}
	if err := user.CheckID("__alice__"); err == nil {
		t.Error("CheckID takes an id that no document can have")
	}
}
