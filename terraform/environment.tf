# The services' environment. What Terraform sets of itself is in each service's file; these are what a service's `env` may
# set beside that. A test holds both against the code (cmd/agenttrader/terraform).
locals {
  settable = {
    all     = ["LOG_FORMAT", "LOG_LEVEL", "METRICS_INTERVAL", "OTEL_EXPORTER_OTLP_ENDPOINT", "TELEMETRY", "TRACE_SAMPLE"]
    custody = ["KEY_CUSTODY_FALLBACK", "KMS_KEY_BEFORE"]
    fanout = [
      "ALPACA_LIVE_URL", "ALPACA_PAPER_URL", "FANOUT_HEALTH_CHANGES", "FANOUT_HOLD", "FANOUT_IDLE_CADENCE",
      "FANOUT_INLINE_SHARDS", "FANOUT_MAX_AGE", "FANOUT_PAGE_SIZE", "FANOUT_SCAN_EVERY", "FANOUT_SCAN_PARTS", "FANOUT_SPREAD",
      "LEGACY_PHASE", "LEGACY_USER",
    ]
    syncer = [
      "ALPACA_LIVE_URL", "ALPACA_PAPER_URL", "LEGACY_PHASE", "LEGACY_USER", "SYNCER_BAND", "SYNCER_BREAKER_OPEN", "SYNCER_BREAKER_USERS",
      "SYNCER_BREAKER_WINDOW", "SYNCER_DEADLINE", "SYNCER_KEY_BUDGET", "SYNCER_KEY_TTL", "SYNCER_REMEMBER",
    ]
    signaler = [
      "ALPACA_DATA_URL", "ALPACA_LIVE_URL", "ALPACA_PAPER_URL", "ALPACA_SNAPSHOT_MAX_AGE_S", "GEMINI_CALLS_PER_USER_DAY",
      "GEMINI_TIMEOUT", "MARKET_DATA_FEED", "MARKET_DATA_LIMIT", "SIGNALER_BUFFER", "SIGNALER_DECISION_TTL",
      "SIGNALER_QUOTE_TIMEOUT", "SIGNALER_SIGNAL_LIFE",
    ]
  }

  # of every service
  environment = merge(
    {
      GCP_PROJECT        = var.project
      FIRESTORE_DATABASE = var.database.name
      DEAD_LETTERS_TOPIC = google_pubsub_topic.this["dead-letters"].name
      KEY_CUSTODY        = var.keys.custody
    },
    local.envelopes ? { KMS_KEY = local.envelope_key } : {},
    var.telemetry ? { TELEMETRY = "gcp" } : {},
  )
  market_hours = var.market_data.user == null ? {} : { MARKET_DATA_USER = var.market_data.user }
}
