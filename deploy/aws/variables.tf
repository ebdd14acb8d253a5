# What the two clouds share has the same name in deploy/azure/variables.tf.

variable "region" {
  description = "Region of the site. The provider must be configured for the same region."
  type        = string
}

variable "name" {
  description = "Prefix of every resource's name. Two sites in one account and region need two names."
  type        = string
  default     = "bridge"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,23}$", var.name))
    error_message = "name must have 2 to 24 characters: small letters, digits and hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}

variable "configuration" {
  description = "The configuration file of all sites (TOML), as deploy/configuration puts it together. Null while the site has no worker yet."
  type        = string
  default     = null
}

variable "environment" {
  description = "Further environment variables of the worker, such as OTEL_EXPORTER_OTLP_ENDPOINT or BRIDGE_WORKER_... to override a key for this site."
  type        = map(string)
  default     = {}
}

# Queue and store

variable "retention_days" {
  description = "How long the queue keeps a message."
  type        = number
  default     = 14

  validation {
    condition     = var.retention_days >= 7 && var.retention_days <= 14
    error_message = "retention_days must be 7 to 14: an outage that lasts longer loses events, and SQS keeps none for more than 14 days."
  }
}

variable "dead_letter_retention_days" {
  description = "How long the bridge's dead-letter queue keeps a message. The queue for what the broker sets aside keeps it until 14 days after its first send."
  type        = number
  default     = 14

  validation {
    condition     = var.dead_letter_retention_days >= 7 && var.dead_letter_retention_days <= 14
    error_message = "dead_letter_retention_days must be 7 to 14: an operator needs a week to act, and SQS keeps none for more than 14 days."
  }
}

variable "receives_max" {
  description = "Deliveries after which SQS itself sets a message aside. Each delivery of an outage counts."
  type        = number
  default     = 1000

  validation {
    condition     = var.receives_max >= 600 && var.receives_max <= 1000
    error_message = "receives_max must be 600 to 1000: a message that waits two weeks for its store is delivered some 500 times."
  }
}

variable "message_bytes_max" {
  description = "Largest message of the queue. The narrowest queue of all sites limits every event."
  type        = number
  default     = 1048576

  validation {
    condition     = var.message_bytes_max >= 16384 && var.message_bytes_max <= 1048576
    error_message = "message_bytes_max must be 16384 to 1048576 (1 MiB), the limits of SQS and of the bridge."
  }
}

variable "visibility_timeout_seconds" {
  description = "How long the queue hides a delivered message. Six times the function's timeout where null."
  type        = number
  default     = null

  validation {
    condition     = var.visibility_timeout_seconds == null || coalesce(var.visibility_timeout_seconds, 0) >= 6 * var.timeout_seconds
    error_message = "visibility_timeout_seconds must be at least 6 x timeout_seconds: otherwise a message is delivered again while the function still works on it."
  }
  validation {
    condition     = coalesce(var.visibility_timeout_seconds, 6 * var.timeout_seconds) <= 43200
    error_message = "visibility_timeout_seconds must be at most 43200 (12 hours), the limit of SQS."
  }
}

variable "protected" {
  description = "Whether the table refuses to be deleted. Queues have no such lock: read what a plan destroys."
  type        = bool
  default     = true
}

variable "key_id" {
  description = "ARN of a KMS key of your own for queues, table, logs and package. Null: keys of AWS. The key's policy must allow CloudWatch Logs of this region to use it; senders need kms:GenerateDataKey and kms:Decrypt."
  type        = string
  default     = null
}

# Worker

variable "host" {
  description = "What runs the worker: function (Lambda), or container (ECS, EKS, a machine), which brings its own compute and gets the role."
  type        = string
  default     = "function"

  validation {
    condition     = contains(["function", "container"], var.host)
    error_message = "host must be function or container."
  }
}

variable "container_trust" {
  description = "Trust policy (JSON) of the worker's role where host is container. Null: ECS tasks."
  type        = string
  default     = null
}

variable "package" {
  description = "Path of lambda-arm64.zip or lambda-x86_64.zip, as ./just package makes them. Needed where host is function."
  type        = string
  default     = null

  validation {
    condition     = var.host != "function" || var.package != null
    error_message = "package is missing: run ./just package and name target/package/lambda-arm64.zip, or set host to container."
  }
  validation {
    condition     = var.package == null || strcontains(coalesce(var.package, "-"), var.architecture)
    error_message = "package is for another architecture: its name must contain the architecture that is set."
  }
}

variable "architecture" {
  description = "arm64 or x86_64."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "memory_mb" {
  description = "Memory of the function. docs/hosts.md has measured figures."
  type        = number
  default     = 256

  validation {
    condition     = var.memory_mb >= 128 && var.memory_mb <= 10240
    error_message = "memory_mb must be 128 to 10240."
  }
}

variable "timeout_seconds" {
  description = "Time limit of the function."
  type        = number
  default     = 30

  validation {
    condition     = var.timeout_seconds >= var.peer_time_max_seconds + 5 && var.timeout_seconds <= 900
    error_message = "timeout_seconds must be at least 5 more than peer_time_max_seconds, and at most 900: otherwise the function has no time to record that a silent peer is still owed an event."
  }
}

variable "peer_time_max_seconds" {
  description = "The value of worker.peer_time_max_seconds in the configuration."
  type        = number
  default     = 10
}

variable "batch_size" {
  description = "Messages of one invocation."
  type        = number
  default     = 10

  validation {
    condition     = var.batch_size >= 1 && var.batch_size <= 10000
    error_message = "batch_size must be 1 to 10000."
  }
}

variable "batching_window_seconds" {
  description = "How long Lambda waits for a batch to fill."
  type        = number
  default     = 0

  validation {
    condition     = var.batch_size <= 10 || var.batching_window_seconds >= 1
    error_message = "batching_window_seconds must be at least 1 where batch_size is over 10: Lambda demands it."
  }
}

variable "concurrency_max" {
  description = "Invocations at the same time."
  type        = number
  default     = 10

  validation {
    condition     = var.concurrency_max >= 2 && var.concurrency_max <= 1000
    error_message = "concurrency_max must be 2 to 1000, the limits of an event source mapping."
  }
}

# Identity across the clouds

variable "trusted_peers" {
  description = "Workers of other clouds that may send to this site's queue: the issuer and the subject of their tokens. For a managed identity of Azure the subject is its principal id."
  type = map(object({
    issuer  = string
    subject = string
  }))
  default = {}

  validation {
    condition     = alltrue([for peer in values(var.trusted_peers) : startswith(peer.issuer, "https://")])
    error_message = "trusted_peers: each issuer must be an https address."
  }
  validation {
    condition     = alltrue([for peer in values(var.trusted_peers) : !strcontains(peer.subject, "*") && length(peer.subject) > 0])
    error_message = "trusted_peers: each subject must be exact: no wildcard, not empty."
  }
}

variable "inbound_audience" {
  description = "Audience of the tokens of trusted peers: the URI of an application in their tenant (docs/identity.md)."
  type        = string
  default     = null

  validation {
    condition     = length(var.trusted_peers) == 0 || var.inbound_audience != null
    error_message = "inbound_audience is missing: trusted peers need one. Name the URI of an application in their tenant."
  }
}

variable "enable_inbound_federation" {
  description = "Make the account's identity providers for the issuers of trusted_peers. Once per account and issuer: false if they are there already, such as by another site of the account. inbound_audience must be among their audiences."
  type        = bool
  default     = true
}

variable "outbound_audience" {
  description = "Audience of the tokens by which this site's worker proves itself to Azure. Null: it may not ask for tokens."
  type        = string
  default     = "api://AzureADTokenExchange"
}

variable "enable_outbound_federation" {
  description = "Turn on outbound identity federation of the account. Once per account: false if it is on already, and set outbound_issuer."
  type        = bool
  default     = true
}

variable "outbound_issuer" {
  description = "The account's issuer, where enable_outbound_federation is false."
  type        = string
  default     = null

  validation {
    condition     = var.outbound_audience == null || var.enable_outbound_federation || var.outbound_issuer != null
    error_message = "outbound_issuer is missing: Azure cannot trust this site's tokens without it. Name the account's issuer, or set enable_outbound_federation."
  }
}

variable "senders" {
  description = "ARNs of roles that may send to the queue: your applications, and the worker roles of other AWS sites."
  type        = list(string)
  default     = []
}

# Operation

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
}

variable "waiting_max" {
  description = "Messages that may wait at all times. An alarm rings if more of them do: for 15 minutes hidden or scheduled for another attempt, or (Azure) for an hour in the queue. Raise it where more are always in flight."
  type        = number
  default     = 20
}

variable "alarm_actions" {
  description = "ARNs that each alarm notifies, such as an SNS topic."
  type        = list(string)
  default     = []
}

variable "network" {
  description = "A network of its own for the function, with endpoints for the services of AWS. nat gives it a way to Azure, by one gateway in the first zone: while that zone is away, so is Azure. Without it the site reaches no other cloud. Null: no network."
  type = object({
    cidr  = optional(string, "10.20.0.0/20")
    zones = optional(number, 2)
    nat   = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.network == null || try(var.network.zones >= 2 && var.network.zones <= 3, false)
    error_message = "network.zones must be 2 or 3: one zone that fails would stop the site."
  }
}
