# Keys of the owner's own for what Google keeps, if cmek is set: one a region for what runs there, and one with the
# database for what outlives a region: documents and messages.
locals {
  # A database in a multi-region wants its key in the matching one of KMS.
  # https://cloud.google.com/firestore/native/docs/cmek
  database_key_location = lookup({ nam5 = "us", eur3 = "europe" }, local.database_location, local.database_location)

  cmek_locations = var.cmek ? setunion(local.regions, [local.database_key_location]) : toset([])
  cmek_grants = var.cmek ? merge(
    { for r in local.regions : "run/${r}" => { location = r, agent = "run" } },
    { for a in ["firestore", "pubsub"] : "${a}/${local.database_key_location}" => { location = local.database_key_location, agent = a } },
    { "registry/${var.region}" = { location = var.region, agent = "registry" } },
  ) : {}

  data_key = { for l, k in google_kms_crypto_key.data :
  l => "projects/${var.project}/locations/${google_kms_key_ring.data[l].location}/keyRings/${google_kms_key_ring.data[l].name}/cryptoKeys/${k.name}" }
  instance_key = { for r in local.regions : r => var.cmek ? local.data_key[r] : null }
}

resource "google_kms_key_ring" "data" {
  for_each = local.cmek_locations

  project    = var.project
  name       = "agenttrader-data"
  location   = each.key
  depends_on = [google_project_service.api]
}

resource "google_kms_crypto_key" "data" {
  for_each = local.cmek_locations

  name                       = "data"
  key_ring                   = google_kms_key_ring.data[each.key].id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"
  labels                     = local.labels
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "agents" {
  for_each = local.cmek_grants

  crypto_key_id = local.data_key[each.value.location]
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = local.agents[each.value.agent]
  depends_on    = [terraform_data.agents]
}
