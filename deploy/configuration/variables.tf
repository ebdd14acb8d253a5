variable "sites" {
  description = "The output `facts` of each site."
  type = list(object({
    site                       = string
    keys                       = map(string)
    retention_days             = number
    dead_letter_retention_days = number
    message_bytes_max          = number
    peer_time_max_seconds      = number
    receives_max               = number
  }))

  validation {
    condition     = length(var.sites) >= 1 && length(distinct([for site in var.sites : site.site])) == length(var.sites)
    error_message = "sites must be different: two sites of one cloud and region cannot be told apart."
  }
}

variable "keys" {
  description = "Further keys of a site's section, by its id, such as `allow` (docs/configuration.md)."
  type        = map(map(string))
  default     = {}
}

variable "worker" {
  description = "Further keys of [worker], as docs/configuration.md lists them."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.worker), ["tombstone_life_days", "replay_window_days", "store_wait_max_hours", "attempts_max", "peer_time_max_seconds"])) == 0
    error_message = "worker must not contain tombstone_life_days, replay_window_days, store_wait_max_hours, attempts_max or peer_time_max_seconds: these have variables, which are checked with the queues."
  }
}

variable "tombstone_life_days" {
  description = "How long a tombstone lives. It must outlive every way by which an older event can arrive."
  type        = number
  default     = 60
}

variable "store_wait_max_hours" {
  description = "How long a message waits for a store that is away."
  type        = number
  default     = 84
}

variable "attempts_max" {
  description = "Deliveries of one message before it becomes a dead letter."
  type        = number
  default     = 20
}

variable "peer_time_max_seconds" {
  description = "Time limit for all sends of one delivery to a peer. The sites' functions are built for theirs."
  type        = number
  default     = 10
}
