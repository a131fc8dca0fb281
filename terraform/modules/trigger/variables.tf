variable "project" {
  type        = string
  description = "The project's id."
}

variable "location" {
  type        = string
  description = "Eventarc's region for the database's location."
}

variable "name" {
  type        = string
  description = "The trigger's name; on-NAME is its service account's."
}

variable "document" {
  type = object({
    database = string
    pattern  = string
  })
  default     = null
  description = "Writes of these documents. Either this or topic."
}

variable "topic" {
  type        = string
  default     = null
  description = "Messages of this topic, by its full name."
  validation {
    condition     = (var.topic == null) != (var.document == null)
    error_message = "Want either document or topic."
  }
}

variable "service" {
  type = object({
    name     = string
    region   = string
    audience = string
  })
  description = "The Cloud Run service that gets the events, with tokens for its audience."
}

variable "dead_letter" {
  type        = string
  description = "Full name of the topic for what was tried too often."
}

variable "agent" {
  type        = string
  description = "Pub/Sub's own account of the project."
}

variable "labels" {
  type        = map(string)
  description = "Labels of the trigger."
}
