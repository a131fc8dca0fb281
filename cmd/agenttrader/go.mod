module github.com/agenttrader/agenttrader/cmd/agenttrader

go 1.26.0

require (
	github.com/agenttrader/agenttrader/pkg v0.0.0
	github.com/agenttrader/agenttrader/services/fanout v0.0.0
	github.com/agenttrader/agenttrader/services/signaler v0.0.0
	github.com/agenttrader/agenttrader/services/syncer v0.0.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace (
	github.com/agenttrader/agenttrader/pkg => ../../pkg
	github.com/agenttrader/agenttrader/services/fanout => ../../services/fanout
	github.com/agenttrader/agenttrader/services/signaler => ../../services/signaler
	github.com/agenttrader/agenttrader/services/syncer => ../../services/syncer
)
