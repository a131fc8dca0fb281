variable "project" {
  type        = string
  description = "The project's id."
}

variable "region" {
  type        = string
  description = "Where the service is."
}

variable "name" {
  type        = string
  description = "The service's name."
}

variable "image" {
  type        = string
  description = "What it runs."
}

variable "service_account" {
  type        = string
  description = "E-mail of whom it runs as."
}

variable "audience" {
  type        = string
  default     = null
  description = "The service's own URL, which its callers' tokens are for. null: behind IAP."
}

variable "callers" {
  type        = list(string)
  default     = []
  description = "E-mails of the service accounts whose tokens it takes."
}

variable "iap" {
  type        = bool
  default     = false
  description = "For people: reachable from anywhere, behind Identity-Aware Proxy."
}

variable "size" {
  type = object({
    cpu           = string
    cpu_always    = bool
    memory        = string
    concurrency   = number
    min_instances = number
    max_instances = number
  })
  description = "cpu_always: CPU is billed by the instance and not by the request."
  validation {
    condition     = var.size.min_instances >= 0 && var.size.max_instances >= max(1, var.size.min_instances)
    error_message = "Want 0 <= min_instances <= max_instances, and max_instances at least 1."
  }
  validation {
    condition     = var.size.concurrency >= 1 && var.size.concurrency <= 1000
    error_message = "concurrency: want 1 to 1000."
  }
}

variable "env" {
  type        = map(string)
  description = "The environment, but for PUSH_AUDIENCE and PUSH_SERVICE_ACCOUNTS."
}

variable "kms_key" {
  type        = string
  default     = null
  description = "Encrypts the instances; null: Google's own."
}

variable "labels" {
  type        = map(string)
  description = "Labels of the service."
}

variable "deletion_protection" {
  type        = bool
  description = "The service can't be deleted."
}
