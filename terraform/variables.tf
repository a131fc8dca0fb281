# Each service's size is in its own file: fanout.tf, syncer.tf, signaler.tf, console.tf.

variable "project" {
  type        = string
  description = "The project's id. It must exist, with billing."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Want a project's id, like my-project-1: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  type        = string
  default     = "us-central1"
  description = "Where the services, the tick and the images are."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Want one region, like us-central1."
  }
}

variable "standby_region" {
  type        = string
  default     = null
  description = "A second region with the same services, which gets no events until active_region names it. Needs a database in nam5 or eur3."
  validation {
    condition     = var.standby_region == null || (var.standby_region != var.region && contains(["nam5", "eur3"], coalesce(var.database.location, var.region)))
    error_message = "A second region helps only if the database outlives the first: set database.location to nam5 or eur3, and another region than the first."
  }
}

variable "active_region" {
  type        = string
  default     = null
  description = "Which of region and standby_region ticks and gets the events; null: region. A failover is an apply with the other one."
  validation {
    condition     = var.active_region == null || contains(compact([var.region, var.standby_region]), coalesce(var.active_region, "-"))
    error_message = "Want region or standby_region."
  }
}

variable "database" {
  type = object({
    name                   = optional(string, "(default)")
    location               = optional(string)
    create                 = optional(bool, true)
    point_in_time_recovery = optional(bool, true)
    daily_backups_kept     = optional(number, 7)
  })
  default     = {}
  description = "The Firestore database. location: null is region; nam5 and eur3 survive a region. create = false takes an existing one, whose location must be said; its indexes, rules and triggers are managed all the same. daily_backups_kept: days, 0: no backups."
  validation {
    condition     = var.database.create || var.database.location != null
    error_message = "Say where the existing database is: triggers must be in its location."
  }
  validation {
    condition     = var.database.daily_backups_kept >= 0 && var.database.daily_backups_kept <= 98
    error_message = "daily_backups_kept: want 0 to 98 days."
  }
}

variable "images" {
  type = object({
    fanout   = string
    syncer   = string
    signaler = string
    console  = optional(string)
  })
  description = "The services' images, by digest or by a tag that is not latest. console: null, and there is none."
  validation {
    condition     = alltrue([for i in values(var.images) : i == null || (can(regex("(@sha256:[0-9a-f]{64}|/[^/:@]+:[A-Za-z0-9_.-]+)$", coalesce(i, "-"))) && !endswith(coalesce(i, "-"), ":latest"))])
    error_message = "Want a digest or a tag, and not latest: a rollback must know what it goes back to."
  }
}

variable "keys" {
  type = object({
    custody      = optional(string, "secret-manager")
    kms          = optional(bool, false)
    kms_location = optional(string)
  })
  default     = {}
  description = "Where users' keys are: custody is secret-manager (a secret a user) or envelope (encrypted in documents, by a key of Cloud KMS). kms makes that key and gives it to the services, so that both custodies are read while a fleet moves; envelope implies it. kms_location: null is region."
  validation {
    condition     = contains(["secret-manager", "envelope"], var.keys.custody)
    error_message = "custody: want secret-manager or envelope."
  }
}

variable "market_data" {
  type = object({
    secret = optional(string, "alpaca-market-data")
    user   = optional(string)
  })
  default     = {}
  description = "secret: the platform's own keys for quotes and bars; none: no market data. user: the user whose keys ask for the market's calendar, null: everybody is synced round the clock. fanout and signaler may then read that user's secret, and no other."
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.market_data.secret)) && !startswith(var.market_data.secret, "alpaca-keys-")
    error_message = "secret: want letters, digits, - and _; names with alpaca-keys- are the users'."
  }
  validation {
    condition     = var.market_data.user == null || can(regex("^[A-Za-z0-9_-]{1,128}$", coalesce(var.market_data.user, "-")))
    error_message = "user: want a user's id: 1 to 128 letters, digits, - and _."
  }
}

variable "gemini_location" {
  type        = string
  default     = null
  description = "The location of Vertex AI where gemini strategies ask; null: they deny."
}

variable "operators" {
  type        = list(string)
  default     = []
  description = "Who may run the agenttrader command against the platform, like group:ops@example.com: documents, dead letters, sync requests. Not users' keys."
  validation {
    condition     = alltrue([for m in var.operators : can(regex("^(user|group|serviceAccount):[^@ ]+@[^@ ]+$", m))])
    error_message = "Want user:, group: or serviceAccount: and an e-mail; never allUsers or a domain."
  }
}

variable "cmek" {
  type        = bool
  default     = false
  description = "Encrypt documents, messages, images and instances with a key of your own. Can't be changed for a database that exists."
}

variable "logs" {
  type = object({
    retention_days   = optional(number, 30)
    exclude_requests = optional(bool, true)
    audit_secrets    = optional(bool, true)
  })
  default     = {}
  description = "retention_days of the project's default log bucket (past 30 they cost). exclude_requests: keep no line for each successful request, a line a user and minute. audit_secrets: log who reads secrets: about 1 KB an access, $0.36 per 1,000 users and month."
  validation {
    condition     = var.logs.retention_days >= 1 && var.logs.retention_days <= 3650
    error_message = "retention_days: want 1 to 3650."
  }
}

variable "telemetry" {
  type        = bool
  default     = false
  description = "The services send traces and metrics to Google Cloud. To a receiver of your own instead: TELEMETRY and OTEL_EXPORTER_OTLP_ENDPOINT in each env."
}

variable "budget" {
  type = object({
    billing_account = string
    amount          = number
    currency        = optional(string, "USD")
  })
  default     = null
  description = "A monthly budget of the project, whole units: tells at 50, 90 and 100 %, and when 100 % is forecast. null: none. Whoever applies needs roles/billing.costsManager on the billing account."
  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "billing_account: want the form 012345-6789AB-CDEF01."
  }
}

variable "notification_emails" {
  type        = set(string)
  default     = []
  description = "Who is told when an alert fires."
}

variable "playbooks_url" {
  type        = string
  default     = "https://github.com/agenttrader/agenttrader/blob/main/docs/playbooks"
  description = "Where docs/playbooks can be read; alerts link there."
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "Labels of what takes labels, beside app=agenttrader."
}

variable "deletion_protection" {
  type        = bool
  default     = true
  description = "Database and services can't be deleted. Set it to false, and apply, before a destroy."
}
