# Envelope custody: the key that wraps the data keys. Whoever destroys it destroys the users' keys.
locals {
  envelopes    = var.keys.kms || var.keys.custody == "envelope"
  envelope_key = local.envelopes ? "projects/${var.project}/locations/${google_kms_key_ring.keys[0].location}/keyRings/${google_kms_key_ring.keys[0].name}/cryptoKeys/${google_kms_crypto_key.envelope[0].name}" : null

  decrypters = local.envelopes ? toset(concat(["syncer"], var.market_data.user == null ? [] : ["fanout", "signaler"])) : toset([])
}

resource "google_kms_key_ring" "keys" {
  count = local.envelopes ? 1 : 0

  project    = var.project
  name       = "agenttrader-keys"
  location   = coalesce(var.keys.kms_location, var.region)
  depends_on = [google_project_service.api]
}

resource "google_kms_crypto_key" "envelope" {
  count = local.envelopes ? 1 : 0

  name                       = "users-keys"
  key_ring                   = google_kms_key_ring.keys[0].id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s" # 90 days; then `agenttrader keys rewrap`
  destroy_scheduled_duration = "2592000s" # 30 days to notice
  labels                     = local.labels
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "decrypter" {
  for_each = local.decrypters

  crypto_key_id = local.envelope_key
  role          = "roles/cloudkms.cryptoKeyDecrypter"
  member        = local.member[each.key]
}

resource "google_kms_crypto_key_iam_member" "onboarding" { # it makes a shard's data key with the first user's keys
  count = local.envelopes ? 1 : 0

  crypto_key_id = local.envelope_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = local.member.onboarding
}

# The platform's own keys for market data. Terraform makes the secret and never sees its value.
resource "google_secret_manager_secret" "market_data" {
  count = var.market_data.secret == "none" ? 0 : 1

  project             = var.project
  secret_id           = var.market_data.secret
  labels              = local.labels
  deletion_protection = var.deletion_protection
  replication {
    auto {}
  }
  depends_on = [google_project_service.api]
}
