variable "syncer" {
  type = object({
    cpu           = optional(string, "1")
    cpu_always    = optional(bool, false)
    memory        = optional(string, "512Mi")
    concurrency   = optional(number, 256)
    min_instances = optional(number, 0)
    max_instances = optional(number, 2)
    partitions    = optional(number, 1)
    egress_budget = optional(number, 500)
    env           = optional(map(string), {})
  })
  default     = {}
  description = "Size and settings of each syncer. partitions: syncers, each with a topic of its own, so that a user comes to the instance that remembers the user. concurrency and egress_budget (broker requests a second) are an instance's; the output fleet_limits says what all together may do."
  validation {
    condition     = var.syncer.partitions >= 1 && var.syncer.partitions <= 50 && floor(var.syncer.partitions) == var.syncer.partitions
    error_message = "partitions: want 1 to 50."
  }
  validation {
    condition     = alltrue([for k in keys(var.syncer.env) : contains(concat(local.settable.all, local.settable.custody, local.settable.syncer), k)])
    error_message = "env sets a variable that the syncer does not have, or that Terraform sets itself: docs/configuration.md lists them."
  }
}

locals {
  syncers         = [for i in range(var.syncer.partitions) : i == 0 ? "syncer" : "syncer-${i}"]
  syncer_topic    = zipmap(local.syncers, local.request_topics)
  syncer_replicas = { for p in setproduct(local.syncers, local.regions) : "${p[0]}/${p[1]}" => { name = p[0], region = p[1] } }
}

module "syncer" {
  source   = "./modules/service"
  for_each = local.syncer_replicas

  project         = var.project
  region          = each.value.region
  name            = each.value.name
  image           = var.images.syncer
  service_account = local.email.syncer
  audience        = local.url[each.value.region][each.value.name]
  callers = concat(["push-${local.syncer_topic[each.value.name]}@${local.accounts}"],
  each.value.name == "syncer" ? ["on-syncer-keys@${local.accounts}"] : [])
  size                = var.syncer
  kms_key             = local.instance_key[each.value.region]
  labels              = local.labels
  deletion_protection = var.deletion_protection
  env = merge(local.environment, {
    SYNCER_CONCURRENCY   = tostring(var.syncer.concurrency)
    SYNCER_EGRESS_BUDGET = tostring(var.syncer.egress_budget)
  }, var.syncer.env)
  depends_on = [google_project_iam_member.grant, google_pubsub_topic_iam_member.publisher, google_kms_crypto_key_iam_member.agents]
}

module "requests" {
  source   = "./modules/push"
  for_each = local.syncer_topic

  project     = var.project
  topic       = local.topic[each.value]
  name        = each.value
  service     = module.syncer["${each.key}/${local.active}"].service
  dead_letter = local.topic["dead-letters"]
  agent       = local.agents.pubsub
  retry       = { min = "5s", max = "60s", attempts = 10 } # a request older than its cadence is dropped: the next tick is the retry
  labels      = local.labels
  depends_on  = [terraform_data.agents]
}

# New versions of users' secrets. Any syncer may take them: it only raises key_version.
module "syncer_trigger" {
  source = "./modules/trigger"

  project     = var.project
  location    = local.trigger_location
  name        = "syncer-keys"
  topic       = local.topic["secret-notifications"]
  service     = module.syncer["syncer/${local.active}"].service
  dead_letter = local.topic["dead-letters"]
  agent       = local.agents.pubsub
  labels      = local.labels
  depends_on  = [google_project_iam_member.grant, google_pubsub_topic_iam_member.publisher]
}
