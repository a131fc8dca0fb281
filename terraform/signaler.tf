variable "signaler" {
  type = object({
    cpu           = optional(string, "1")
    cpu_always    = optional(bool, false)
    memory        = optional(string, "512Mi")
    concurrency   = optional(number, 80)
    min_instances = optional(number, 0)
    max_instances = optional(number, 2)
    env           = optional(map(string), {})
  })
  default     = {}
  description = "Size and settings of the signaler. MARKET_DATA_LIMIT (100 requests a minute) is an instance's: two are the whole of Alpaca's Basic plan."
  validation {
    condition     = alltrue([for k in keys(var.signaler.env) : contains(concat(local.settable.all, local.settable.custody, local.settable.signaler), k)])
    error_message = "env sets a variable that the signaler does not have, or that Terraform sets itself: docs/configuration.md lists them."
  }
}

module "signaler" {
  source   = "./modules/service"
  for_each = local.regions

  project             = var.project
  region              = each.key
  name                = "signaler"
  image               = var.images.signaler
  service_account     = local.email.signaler
  audience            = local.url[each.key].signaler
  callers             = [for t in ["snapshot", "strategy", "signal"] : "on-signaler-${t}@${local.accounts}"]
  size                = var.signaler
  kms_key             = local.instance_key[each.key]
  labels              = local.labels
  deletion_protection = var.deletion_protection
  env = merge(local.environment, local.market_hours,
    { MARKET_DATA_SECRET = var.market_data.secret },
    var.gemini_location == null ? {} : { GEMINI_LOCATION = var.gemini_location },
    var.signaler.env,
  )
  depends_on = [google_project_iam_member.grant, google_pubsub_topic_iam_member.publisher, google_kms_crypto_key_iam_member.agents]
}

module "signaler_triggers" {
  source = "./modules/trigger"
  for_each = {
    snapshot = "users/{uid}/alpacaAccounts/{account}"
    strategy = "users/{uid}/strategies/{strategy}"
    signal   = "users/{uid}/tradingSignals/{signal}"
  }

  project     = var.project
  location    = local.trigger_location
  name        = "signaler-${each.key}"
  document    = { database = var.database.name, pattern = each.value }
  service     = module.signaler[local.active].service
  dead_letter = local.topic["dead-letters"]
  agent       = local.agents.pubsub
  labels      = local.labels
  depends_on  = [google_project_iam_member.grant, module.firestore, google_pubsub_topic_iam_member.publisher]
}
