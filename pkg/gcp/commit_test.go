package gcp_test

import (
	"testing"

	"github.com/agenttrader/agenttrader/pkg/porttest"
)

func TestCommitterOnFirestore(t *testing.T) {
	porttest.Committer(t, func(t *testing.T) porttest.Committing { return openFirestore(t).(porttest.Committing) })
}
