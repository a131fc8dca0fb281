package gcp_test

import (
	"testing"

	"github.com/agenttrader/agenttrader/pkg/porttest"
)

func TestTreeOnFirestore(t *testing.T) {
	t.Parallel()
	porttest.Tree(t, openFirestore(t))
}

func TestCommitterOnFirestore(t *testing.T) {
	porttest.Committer(t, func(t *testing.T) porttest.Committing { return openFirestore(t).(porttest.Committing) })
}
