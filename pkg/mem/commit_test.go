package mem_test

import (
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/mem"
	"github.com/agenttrader/agenttrader/pkg/porttest"
)

func TestTree(t *testing.T) { porttest.Tree(t, mem.NewDB(time.Now)) }

func TestCommitter(t *testing.T) {
	porttest.Committer(t, func(*testing.T) porttest.Committing { return mem.NewDB(time.Now) })
}
