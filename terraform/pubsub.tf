locals {
  # One topic of sync requests for each syncer: the first keeps its name when others are added.
  request_topics = [for i in range(var.syncer.partitions) : i == 0 ? "sync-requests" : "sync-requests-${i}"]

  topics = toset(concat(["sync-ticks", "dead-letters", "secret-notifications"], local.request_topics))

  # by full name, known before they are made
  topic = { for t in local.topics : t => "projects/${var.project}/topics/${google_pubsub_topic.this[t].name}" }
}

resource "google_pubsub_topic" "this" {
  for_each = local.topics

  project                    = var.project
  name                       = each.key
  kms_key_name               = var.cmek ? local.data_key[local.database_key_location] : null
  message_retention_duration = each.key == "dead-letters" ? "2678400s" : null # 31 days; elsewhere the past is never replayed
  labels                     = local.labels
  depends_on                 = [google_project_service.api, google_kms_crypto_key_iam_member.agents]
}

# What nobody could take, until a person looks: `agenttrader dlq`.
resource "google_pubsub_subscription" "review" {
  project                    = var.project
  name                       = "dead-letters-review"
  topic                      = local.topic["dead-letters"]
  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"
  labels                     = local.labels
  expiration_policy {
    ttl = "" # never
  }
}

locals {
  # (identity, topic): who may publish where
  publishers = merge(
    { for t in local.request_topics : "fanout/${t}" => { member = local.member.fanout, topic = t } },
    {
      "fanout/sync-ticks"     = { member = local.member.fanout, topic = "sync-ticks" } # shards of a tick, to itself
      "fanout/dead-letters"   = { member = local.member.fanout, topic = "dead-letters" }
      "syncer/dead-letters"   = { member = local.member.syncer, topic = "dead-letters" }
      "signaler/dead-letters" = { member = local.member.signaler, topic = "dead-letters" }

      "scheduler/sync-ticks"         = { member = local.agents.scheduler, topic = "sync-ticks" }
      "pubsub/dead-letters"          = { member = local.agents.pubsub, topic = "dead-letters" }
      "secrets/secret-notifications" = { member = local.agents.secrets, topic = "secret-notifications" }
    },
    { for p in setproduct(var.operators, concat(["sync-ticks"], local.request_topics)) : "${p[0]}/${p[1]}" => { member = p[0], topic = p[1] } },
  )
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = local.publishers

  project    = var.project
  topic      = google_pubsub_topic.this[each.value.topic].name
  role       = "roles/pubsub.publisher"
  member     = each.value.member
  depends_on = [terraform_data.agents]
}

resource "google_pubsub_subscription_iam_member" "review" {
  for_each = toset(var.operators)

  project      = var.project
  subscription = google_pubsub_subscription.review.name
  role         = "roles/pubsub.subscriber"
  member       = each.key
}
