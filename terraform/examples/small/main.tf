# A few thousand users in one region, keys in Secret Manager; a few dollars a month besides the users' own.
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

  project = var.project
  images  = var.images
}

output "agenttrader" {
  description = "Addresses, accounts, limits."
  value       = module.agenttrader
}
