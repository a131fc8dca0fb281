variable "fanout" {
  type = object({
    cpu           = optional(string, "1")
    cpu_always    = optional(bool, false)
    memory        = optional(string, "512Mi")
    concurrency   = optional(number, 80)
    min_instances = optional(number, 0)
    max_instances = optional(number, 4)
    env           = optional(map(string), {})
  })
  default     = {}
  description = "Size and settings of the fanout."
  validation {
    condition     = alltrue([for k in keys(var.fanout.env) : contains(concat(local.settable.all, local.settable.custody, local.settable.fanout), k)])
    error_message = "env sets a variable that the fanout does not have, or that Terraform sets itself: docs/configuration.md lists them."
  }
}

module "fanout" {
  source   = "./modules/service"
  for_each = local.regions

  project             = var.project
  region              = each.key
  name                = "fanout"
  image               = var.images.fanout
  service_account     = local.email.fanout
  audience            = local.url[each.key].fanout
  callers             = [for c in ["push-sync-ticks", "on-fanout-user", "on-fanout-health", "on-fanout-strategy"] : "${c}@${local.accounts}"]
  size                = var.fanout
  kms_key             = local.instance_key[each.key]
  labels              = local.labels
  deletion_protection = var.deletion_protection
  env = merge(local.environment, local.market_hours, {
    SYNC_TICKS_TOPIC    = google_pubsub_topic.this["sync-ticks"].name
    SYNC_REQUESTS_TOPIC = join(",", [for t in local.request_topics : google_pubsub_topic.this[t].name])
  }, var.fanout.env)
  depends_on = [google_project_iam_member.grant, google_pubsub_topic_iam_member.publisher, google_kms_crypto_key_iam_member.agents]
}

resource "google_cloud_scheduler_job" "tick" {
  for_each = local.regions

  project     = var.project
  region      = each.key
  name        = "tick"
  description = "One tick a minute: the fanout publishes who is due."
  schedule    = "* * * * *"
  time_zone   = "Etc/UTC"
  paused      = each.key != local.active
  pubsub_target {
    topic_name = local.topic["sync-ticks"]
    attributes = { # a CloudEvent in binary mode; which tick it is says the publish time
      ce-specversion = "1.0"
      ce-id          = "tick"
      ce-type        = "com.agenttrader.tick.v1"
      ce-source      = "//agenttrader/scheduler"
    }
  }
  retry_config {
    retry_count          = 3
    min_backoff_duration = "1s"
    max_backoff_duration = "5s"
    max_retry_duration   = "30s"
  }
  depends_on = [google_pubsub_topic_iam_member.publisher]
}

module "ticks" {
  source = "./modules/push"

  project     = var.project
  topic       = local.topic["sync-ticks"]
  name        = "sync-ticks"
  service     = module.fanout[local.active].service
  dead_letter = local.topic["dead-letters"]
  agent       = local.agents.pubsub
  # After a crash a tick must outlast the claim of the delivery that died (FANOUT_HOLD, 20 s); past FANOUT_MAX_AGE it is dropped.
  retry      = { min = "1s", max = "10s", attempts = 20 }
  labels     = local.labels
  depends_on = [terraform_data.agents]
}

module "fanout_triggers" {
  source = "./modules/trigger"
  for_each = {
    user     = "users/{uid}"
    health   = "users/{uid}/syncHealth/{id}"
    strategy = "users/{uid}/strategies/{strategy}"
  }

  project     = var.project
  location    = local.trigger_location
  name        = "fanout-${each.key}"
  document    = { database = var.database.name, pattern = each.value }
  service     = module.fanout[local.active].service
  dead_letter = local.topic["dead-letters"]
  agent       = local.agents.pubsub
  labels      = local.labels
  depends_on  = [google_project_iam_member.grant, module.firestore, google_pubsub_topic_iam_member.publisher]
}
