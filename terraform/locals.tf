data "google_project" "this" {
  project_id = var.project
}

locals {
  number = data.google_project.this.number
  labels = merge({ app = "agenttrader" }, var.labels)

  regions = toset(compact([var.region, var.standby_region]))
  active  = coalesce(var.active_region, var.region)

  # Eventarc has no triggers in multi-regions. https://cloud.google.com/firestore/native/docs/eventarc#locations
  database_location = coalesce(var.database.location, var.region)
  trigger_location  = lookup({ nam5 = "us-central1", eur3 = "europe-west4" }, local.database_location, local.database_location)

  # Google's own accounts of the project.
  agents = { for name, domain in {
    pubsub    = "gcp-sa-pubsub"
    scheduler = "gcp-sa-cloudscheduler"
    eventarc  = "gcp-sa-eventarc"
    secrets   = "gcp-sa-secretmanager"
    firestore = "gcp-sa-firestore"
    registry  = "gcp-sa-artifactregistry"
    run       = "serverless-robot-prod"
    iap       = "gcp-sa-iap"
  } : name => "serviceAccount:service-${local.number}@${domain}.iam.gserviceaccount.com" }

  # A service's address is known before the service is: it is the audience of its callers' tokens.
  # https://cloud.google.com/run/docs/triggering/https-request#deterministic
  url = { for r in local.regions : r => { for s in concat(["fanout", "signaler"], local.syncers) : s => "https://${s}-${local.number}.${r}.run.app" } }
}
