# A million users: keys in envelopes, syncers each on a topic of its own, requests spread over the minute, CPU billed by the
# instance. docs/scale.md says where the numbers come from.
variable "project" {
  type        = string
  description = "The project's id."
}

variable "images" {
  type        = object({ fanout = string, syncer = string, signaler = string })
  description = "The services' images."
}

module "agenttrader" {
  source = "../.."

  project  = var.project
  images   = var.images
  database = { location = "nam5" }
  keys     = { custody = "envelope" }
  fanout = {
    cpu_always = true, min_instances = 1, max_instances = 8, memory = "1Gi"
    env        = { FANOUT_SPREAD = "40s" }
  }
  syncer = {
    cpu_always = true, min_instances = 1, max_instances = 1, memory = "1Gi", concurrency = 256
    partitions = 16, egress_budget = 2500
    env        = { SYNCER_REMEMBER = "80000" }
  }
  signaler = { cpu_always = true, min_instances = 2, max_instances = 16 }

  market_data         = { user = "platform" }
  gemini_location     = "us-central1"
  telemetry           = true
  operators           = ["group:trading-ops@example.com"]
  notification_emails = ["trading-ops@example.com"]
  budget              = { billing_account = "012345-6789AB-CDEF01", amount = 30000 }
}

output "agenttrader" {
  description = "Addresses, accounts, limits."
  value       = module.agenttrader
}
