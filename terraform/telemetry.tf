# What is watched by the services' own metrics, which docs/telemetry.md lists: only with var.telemetry.
locals {
  good   = "outcome=~\"written|unchanged|superseded\""
  reauth = "sum(increase(agenttrader_health_transitions_total{to=\"needs_reauth\"}[15m]))"
  missed = { for window in ["5m", "1h"] : window => "1 - sum(increase(agenttrader_syncs_in_time_total[${window}])) / sum(increase(agenttrader_sync_requests_total[${window}]))" }
  month  = "2592000" # seconds

  all_alerts = concat(local.alerts, [for a in local.metric_alerts : a if var.telemetry])

  metric_alerts = [
    {
      name     = "freshness"
      title    = "More than 1.4 % of the users are not synced within two minutes"
      meaning  = "Of the users who were due in the last hour too many had no success in time: at this pace the month's objective of 99.9 % is used up in two days."
      playbook = "stale-users.md"
      severity = "CRITICAL"
      query    = { promql = "(${local.missed["1h"]}) > 0.0144 and (${local.missed["5m"]}) > 0.0144", for = "120s" }
    },
    {
      name     = "tick-to-snapshot"
      title    = "Snapshots are later than 30 s after their tick"
      meaning  = "A hundredth of the snapshots, or more, is stored later than half a minute after the minute began: strategies see what was."
      playbook = "late-snapshots.md"
      query    = { promql = "histogram_quantile(0.99, sum by (le) (rate(agenttrader_sync_lag_seconds_bucket{${local.good}}[10m]))) > 30", for = "600s" }
    },
    {
      name     = "ticks-not-ended"
      title    = "Ticks are taken, and not published to their end"
      meaning  = "Fewer than four ticks ended in five minutes, or no fanout says so: part of the users is not asked for, whatever Pub/Sub counts as acknowledged."
      playbook = "missed-ticks.md"
      severity = "CRITICAL"
      query    = { promql = "sum(increase(agenttrader_tick_lag_seconds_count{part=\"tick\"}[5m])) < 4 or absent(agenttrader_tick_lag_seconds_count{part=\"tick\"})", for = "300s" }
    },
    {
      name     = "dead-letters-written"
      title    = "A service puts events away as dead letters"
      meaning  = "A service met events that it can't understand, and published them to the dead letters itself: it goes on, and those events have no effect."
      playbook = "dead-letters.md"
      query    = { promql = "sum(increase(agenttrader_messages_published_total{topic=\"dead-letters\"}[10m])) > 0", for = "0s" }
    },
    {
      name     = "breaker-open"
      title    = "A syncer's circuit breaker is open"
      meaning  = "Alpaca fails so often that an instance stopped asking, but for probes: its users' snapshots grow stale until Alpaca answers."
      playbook = "breaker-open.md"
      query    = { promql = "max by (instance) (agenttrader_breaker_state{job=\"agenttrader/syncer\"}) > 0", for = "120s" }
    },
    {
      name     = "needs-reauth"
      title    = "Many users' keys stop working"
      meaning  = "In a quarter of an hour more than a hundredth of the users, and more than five, turned needs_reauth. One user is that user's doing; many are ours or Alpaca's."
      playbook = "needs-reauth.md"
      query    = { promql = "${local.reauth} > 5 and ${local.reauth} > 0.01 * max(agenttrader_active_users)", for = "0s" }
    },
    {
      name     = "key-headroom"
      title    = "Users' keys come near Alpaca's rate limit"
      meaning  = "A hundredth of the answers says that less than a quarter of the keys' requests is left: beyond it Alpaca answers 429, to the users' own programs too."
      playbook = "headroom.md"
      query    = { promql = "histogram_quantile(0.01, sum by (le) (rate(agenttrader_broker_ratelimit_headroom_ratio_bucket[10m]))) < 0.25", for = "600s" }
    },
    {
      name     = "egress-headroom"
      title    = "A syncer comes near its budget of requests"
      meaning  = "An instance uses more than four fifths of SYNCER_EGRESS_BUDGET: at the end of it requests wait, and snapshots are late."
      playbook = "headroom.md"
      query    = { promql = "max by (instance) (sum by (instance) (rate(agenttrader_broker_call_duration_seconds_count{job=\"agenttrader/syncer\"}[10m]))) > ${0.8 * var.syncer.egress_budget}", for = "600s" }
    },
    {
      name     = "operations-of-a-user"
      title    = "A user costs the database far more than planned"
      meaning  = "With more than a hundred users, a user costs more than 29,000 writes or 5,000 reads a month at the pace of the last hour. The budget would tell of it days later."
      playbook = "spend.md"
      severity = "WARNING"
      query = {
        promql = join(" or ", [for op, most in { write = 29000, read = 5000 } :
        "(sum(rate(agenttrader_store_operations_total{op=\"${op}\"}[1h])) * ${local.month} > ${most} * max(agenttrader_active_users) and max(agenttrader_active_users) > 100)"])
        for = "1800s"
      }
    },
  ]
}

resource "google_monitoring_custom_service" "this" {
  count = var.telemetry ? 1 : 0

  project      = var.project
  service_id   = "agenttrader"
  display_name = "AgentTrader"
  depends_on   = [google_project_service.api]
}

# Of the requests of users who were due, not of documents: a request that is lost or waits counts against it.
resource "google_monitoring_slo" "freshness" {
  count = var.telemetry ? 1 : 0

  project             = var.project
  service             = google_monitoring_custom_service.this[0].service_id
  slo_id              = "freshness"
  display_name        = "99.9 % of the users who are due are synced within two minutes"
  goal                = 0.999
  rolling_period_days = 28
  request_based_sli {
    good_total_ratio {
      good_service_filter  = "metric.type=\"prometheus.googleapis.com/agenttrader_syncs_in_time_total/counter\" resource.type=\"prometheus_target\""
      total_service_filter = "metric.type=\"prometheus.googleapis.com/agenttrader_sync_requests_total/counter\" resource.type=\"prometheus_target\""
    }
  }
}

resource "google_monitoring_dashboard" "this" {
  count = var.telemetry ? 1 : 0

  project        = var.project
  dashboard_json = file("${path.module}/dashboard.json")
  depends_on     = [google_project_service.api]
}
