variable "console" {
  type = object({
    cpu           = optional(string, "1")
    cpu_always    = optional(bool, false)
    memory        = optional(string, "512Mi")
    concurrency   = optional(number, 80)
    min_instances = optional(number, 0)
    max_instances = optional(number, 2)
    env           = optional(map(string), {})
    members       = optional(list(string), [])
  })
  default     = {}
  description = "Size and settings of the console, if images.console is set: it stands behind IAP, and members (like group:ops@example.com) get in."
  validation {
    condition     = alltrue([for m in var.console.members : can(regex("^(user|group|serviceAccount):[^@ ]+@[^@ ]+$", m))])
    error_message = "members: want user:, group: or serviceAccount: and an e-mail; never allUsers or a domain."
  }
}

locals {
  console_regions = var.images.console == null ? toset([]) : local.regions
  console_members = { for p in setproduct(local.console_regions, var.console.members) : "${p[0]}/${p[1]}" => { region = p[0], member = p[1] } }
}

# The onboarding identity writes users' keys and cannot read them.
module "console" {
  source   = "./modules/service"
  for_each = local.console_regions

  project             = var.project
  region              = each.key
  name                = "console"
  image               = coalesce(var.images.console, "-")
  service_account     = local.email.onboarding
  iap                 = true
  size                = var.console
  kms_key             = local.instance_key[each.key]
  labels              = local.labels
  deletion_protection = var.deletion_protection
  env                 = merge({ for k, v in local.environment : k => v if k != "DEAD_LETTERS_TOPIC" }, var.console.env)
  depends_on          = [google_project_iam_member.grant, google_kms_crypto_key_iam_member.agents]
}

resource "google_cloud_run_v2_service_iam_member" "iap" {
  for_each = local.console_regions

  project    = var.project
  location   = each.key
  name       = module.console[each.key].service.name
  role       = "roles/run.invoker"
  member     = local.agents.iap
  depends_on = [terraform_data.agents]
}

resource "google_iap_web_cloud_run_service_iam_member" "member" {
  for_each = local.console_members

  project                = var.project
  location               = each.value.region
  cloud_run_service_name = module.console[each.value.region].service.name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value.member
}
