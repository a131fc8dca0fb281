# Survives the loss of a region: documents in nam5, the services in two regions, one of which gets the events. Keys of the
# owner's own encrypt what Google keeps. A failover is an apply with -var active_region=us-east1 (docs/deploy.md). The console stands behind IAP.
variable "project" {
  type        = string
  description = "The project's id."
}

variable "images" {
  type        = object({ fanout = string, syncer = string, signaler = string, console = string })
  description = "The services' images."
}

variable "active_region" {
  type        = string
  default     = "us-central1"
  description = "Which region gets the events."
}

module "agenttrader" {
  source = "../.."

  project        = var.project
  images         = var.images
  region         = "us-central1"
  standby_region = "us-east1"
  active_region  = var.active_region
  database       = { location = "nam5" }
  keys           = { custody = "envelope", kms_location = "us" }
  cmek           = true
  console        = { members = ["group:trading-ops@example.com"] }
}

output "agenttrader" {
  description = "Addresses, accounts, limits."
  value       = module.agenttrader
}
