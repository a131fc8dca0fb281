resource "google_service_account" "invoker" {
  project      = var.project
  account_id   = "on-${var.name}"
  display_name = "AgentTrader: brings ${var.name} to ${var.service.name}"
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

resource "google_project_iam_member" "receiver" {
  project = var.project
  role    = "roles/eventarc.eventReceiver"
  member  = "serviceAccount:${local.email}"
}

resource "google_service_account_iam_member" "tokens" {
  service_account_id = "projects/${var.project}/serviceAccounts/${local.email}"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = var.agent
}

resource "google_eventarc_trigger" "this" {
  project                 = var.project
  location                = var.location
  name                    = var.name
  service_account         = local.email
  event_data_content_type = var.document == null ? null : "application/protobuf"
  labels                  = var.labels

  matching_criteria {
    attribute = "type"
    value     = var.document == null ? "google.cloud.pubsub.topic.v1.messagePublished" : "google.cloud.firestore.document.v1.written"
  }
  dynamic "matching_criteria" {
    for_each = var.document == null ? [] : [var.document]
    content {
      attribute = "database"
      value     = matching_criteria.value.database
    }
  }
  dynamic "matching_criteria" {
    for_each = var.document == null ? [] : [var.document]
    content {
      attribute = "document"
      operator  = "match-path-pattern"
      value     = matching_criteria.value.pattern
    }
  }
  dynamic "transport" {
    for_each = var.topic == null ? [] : [var.topic]
    content {
      pubsub {
        topic = transport.value
      }
    }
  }
  destination {
    cloud_run_service {
      service = var.service.name
      region  = var.service.region
    }
  }
  depends_on = [google_project_iam_member.receiver, google_service_account_iam_member.tokens, google_cloud_run_v2_service_iam_member.invoker]
}

locals {
  delivery = {
    project      = var.project
    trigger      = google_eventarc_trigger.this.name
    subscription = try(google_eventarc_trigger.this.transport[0].pubsub[0].subscription, "")
    account      = local.email
    audience     = var.service.audience
    dead_letter  = var.dead_letter
    attempts     = 20
    ack_deadline = 60 # Eventarc's own is 10 s, and a question to a model takes longer
    min_backoff  = "10s"
    max_backoff  = "600s"
  }
}

# Eventarc makes the subscription that carries the events, and takes none of this. Terraform can't own what it did not
# make, so gcloud sets it: again whenever it is to be another, and whenever Eventarc says that the trigger changed.
# https://cloud.google.com/eventarc/docs/retry-events
resource "terraform_data" "delivery" {
  input            = local.delivery
  triggers_replace = [local.delivery, google_eventarc_trigger.this.etag]

  provisioner "local-exec" {
    command = "sh ${path.module}/delivery.sh"
    environment = {
      PROJECT      = self.input.project
      SUBSCRIPTION = self.input.subscription
      ACCOUNT      = self.input.account
      AUDIENCE     = self.input.audience
      DEAD_LETTER  = self.input.dead_letter
      ATTEMPTS     = self.input.attempts
      ACK_DEADLINE = self.input.ack_deadline
      MIN_BACKOFF  = self.input.min_backoff
      MAX_BACKOFF  = self.input.max_backoff
    }
  }
}

resource "google_pubsub_subscription_iam_member" "dead_letter" {
  project      = var.project
  subscription = terraform_data.delivery.input.subscription
  role         = "roles/pubsub.subscriber"
  member       = var.agent
}
