locals {
  subscription = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id"
  alerts = [
    {
      name     = "dead-letters"
      title    = "Dead letters wait for a person"
      meaning  = "Events could not be understood, or failed until nobody tried any more. They are kept for 31 days, and nothing takes them up by itself."
      playbook = "dead-letters.md"
      threshold = {
        filter = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND ${local.subscription}=\"${google_pubsub_subscription.review.name}\""
        above  = 0
      }
    },
    {
      name     = "missed-ticks"
      title    = "No tick was taken for five minutes"
      meaning  = "The fanout acknowledged no tick: nobody is synced, snapshots grow stale, and after 300 s nothing that opens exposure is signalled."
      playbook = "missed-ticks.md"
      severity = "CRITICAL"
      absent = {
        filter = "metric.type=\"pubsub.googleapis.com/subscription/push_request_count\" AND metric.labels.response_class=\"ack\" AND ${local.subscription}=\"${module.ticks.name}\""
        for    = "300s"
      }
    },
    {
      name     = "tick-job-failed"
      title    = "The scheduler could not publish a tick"
      meaning  = "Cloud Scheduler's job failed, its retries included: that minute has no tick."
      playbook = "missed-ticks.md"
      log      = { filter = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"tick\" AND severity>=ERROR" }
    },
    {
      name     = "backlog"
      title    = "Events wait for more than two minutes"
      meaning  = "A service takes its events more slowly than they come, or refuses them: what it does is late, and sync requests are dropped once they are older than their cadence."
      playbook = "backlog.md"
      threshold = {
        filter = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.subscription}=monitoring.regex.full_match(\"(sync|eventarc)-.*\")"
        above  = 120
        for    = "180s"
        reduce = "REDUCE_MAX"
        by     = ["resource.labels.subscription_id"]
      }
    },
    {
      name     = "service-errors"
      title    = "A service refuses more than a twentieth of its events"
      meaning  = "It answers 5xx: our own trouble (database, secrets, topics, a fault of the code). What was refused comes again, with growing pauses."
      playbook = "service-errors.md"
      threshold = {
        filter      = "metric.type=\"run.googleapis.com/request_count\" AND resource.type=\"cloud_run_revision\" AND metric.labels.response_code_class=\"5xx\""
        denominator = "metric.type=\"run.googleapis.com/request_count\" AND resource.type=\"cloud_run_revision\""
        above       = 0.05
        for         = "300s"
        align       = "ALIGN_RATE"
        reduce      = "REDUCE_SUM"
        by          = ["resource.labels.service_name"]
      }
    },
    {
      name     = "secret-denied"
      title    = "Somebody was refused a secret"
      meaning  = "Either a service lost its right to the users' keys, and their syncing stops, or somebody tries what is not theirs. Seen while logs.audit_secrets is on."
      playbook = "secret-denied.md"
      severity = "CRITICAL"
      log      = { filter = "protoPayload.serviceName=\"secretmanager.googleapis.com\" AND protoPayload.status.code=7" }
    },
  ]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.notification_emails

  project      = var.project
  display_name = "AgentTrader: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
  depends_on   = [google_project_service.api]
}

module "monitoring" {
  source = "./modules/monitoring"

  project       = var.project
  alerts        = local.all_alerts
  channels      = [for c in google_monitoring_notification_channel.email : c.name]
  playbooks     = abspath("${path.module}/../docs/playbooks")
  playbooks_url = var.playbooks_url
  depends_on    = [google_project_service.api]
}

# Its playbook is spend.md: a budget tells what was spent and stops nothing.
resource "google_billing_budget" "this" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = "AgentTrader in ${var.project}: ${var.playbooks_url}/spend.md"
  budget_filter {
    projects = ["projects/${local.number}"]
  }
  amount {
    specified_amount {
      currency_code = var.budget.currency
      units         = tostring(var.budget.amount)
    }
  }
  dynamic "threshold_rules" {
    for_each = { 0.5 = "CURRENT_SPEND", 0.9 = "CURRENT_SPEND", 1.0 = "CURRENT_SPEND" }
    content {
      threshold_percent = threshold_rules.key
      spend_basis       = threshold_rules.value
    }
  }
  threshold_rules {
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }
  all_updates_rule {
    monitoring_notification_channels = [for c in google_monitoring_notification_channel.email : c.name]
  }
  depends_on = [google_project_service.api]
}
