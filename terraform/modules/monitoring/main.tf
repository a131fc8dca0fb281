locals {
  alerts = { for a in var.alerts : a.name => a }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  project               = var.project
  display_name          = each.value.title
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = var.channels
  user_labels           = { app = "agenttrader", alert = each.key }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.meaning}\n\nPlaybook: [${each.value.playbook}](${var.playbooks_url}/${each.value.playbook})"
    links {
      display_name = "Playbook"
      url          = "${var.playbooks_url}/${each.value.playbook}"
    }
  }

  conditions {
    display_name = each.value.title
    dynamic "condition_threshold" {
      for_each = each.value.threshold == null ? [] : [each.value.threshold]
      content {
        filter             = condition_threshold.value.filter
        denominator_filter = condition_threshold.value.denominator
        comparison         = "COMPARISON_GT"
        threshold_value    = condition_threshold.value.above
        duration           = condition_threshold.value.for
        aggregations {
          alignment_period     = condition_threshold.value.every
          per_series_aligner   = condition_threshold.value.align
          cross_series_reducer = condition_threshold.value.reduce
          group_by_fields      = condition_threshold.value.by
        }
        dynamic "denominator_aggregations" {
          for_each = condition_threshold.value.denominator == null ? [] : [1]
          content {
            alignment_period     = condition_threshold.value.every
            per_series_aligner   = condition_threshold.value.align
            cross_series_reducer = condition_threshold.value.reduce
            group_by_fields      = condition_threshold.value.by
          }
        }
        trigger {
          count = 1
        }
      }
    }
    dynamic "condition_absent" {
      for_each = each.value.absent == null ? [] : [each.value.absent]
      content {
        filter   = condition_absent.value.filter
        duration = condition_absent.value.for
        aggregations {
          alignment_period   = condition_absent.value.every
          per_series_aligner = condition_absent.value.align
        }
        trigger {
          count = 1
        }
      }
    }
    dynamic "condition_matched_log" {
      for_each = each.value.log == null ? [] : [each.value.log]
      content {
        filter = condition_matched_log.value.filter
      }
    }
    dynamic "condition_prometheus_query_language" {
      for_each = each.value.query == null ? [] : [each.value.query]
      content {
        query                     = condition_prometheus_query_language.value.promql
        duration                  = condition_prometheus_query_language.value.for
        evaluation_interval       = "60s"
        disable_metric_validation = true # in a new project nothing has been measured yet
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
    dynamic "notification_rate_limit" { # only alerts on logs may have it, and they must
      for_each = each.value.log == null ? [] : [each.value.log]
      content {
        period = notification_rate_limit.value.every
      }
    }
  }

  lifecycle {
    precondition {
      condition     = fileexists("${var.playbooks}/${each.value.playbook}")
      error_message = "Alert ${each.key}: there is no playbook docs/playbooks/${each.value.playbook}: an alert without one helps nobody at night."
    }
  }
}
