module "firestore" {
  source = "./modules/firestore"

  project             = var.project
  name                = var.database.name
  location            = local.database_location
  create              = var.database.create
  deletion_protection = var.deletion_protection
  kms_key             = var.cmek ? local.data_key[local.database_key_location] : null

  point_in_time_recovery = var.database.point_in_time_recovery
  daily_backups_kept     = var.database.daily_backups_kept

  rules      = file("${path.module}/../firestore/firestore.rules")
  indexes    = jsondecode(file("${path.module}/../firestore/firestore.indexes.json"))
  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agents]
}
