resource "google_service_account" "invoker" {
  project      = var.project
  account_id   = "push-${var.name}"
  display_name = "AgentTrader: pushes ${var.name} to ${var.service.name}"
}

locals {
  email = "${google_service_account.invoker.account_id}@${var.project}.iam.gserviceaccount.com"
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  project  = var.project
  location = var.service.region
  name     = var.service.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${local.email}"
}

# Pub/Sub makes the tokens, takes what was tried too often out of the subscription, and puts it into the dead letters'
# topic (which is granted beside the topic).
resource "google_service_account_iam_member" "tokens" {
  service_account_id = "projects/${var.project}/serviceAccounts/${local.email}"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = var.agent
}

resource "google_pubsub_subscription_iam_member" "dead_letter" {
  project      = var.project
  subscription = google_pubsub_subscription.this.name
  role         = "roles/pubsub.subscriber"
  member       = var.agent
}

resource "google_pubsub_subscription" "this" {
  project                    = var.project
  name                       = var.name
  topic                      = var.topic
  ack_deadline_seconds       = 60
  message_retention_duration = "600s" # the least there is: the past is never replayed
  labels                     = var.labels
  expiration_policy {
    ttl = "" # never
  }
  push_config {
    push_endpoint = var.service.audience
    no_wrapper {
      write_metadata = true # the publish time says which tick it is
    }
    oidc_token {
      service_account_email = local.email
      audience              = var.service.audience
    }
  }
  retry_policy {
    minimum_backoff = var.retry.min
    maximum_backoff = var.retry.max
  }
  dead_letter_policy {
    dead_letter_topic     = var.dead_letter
    max_delivery_attempts = var.retry.attempts
  }
  depends_on = [google_service_account_iam_member.tokens]
}
