# What the two clouds share has the same name in deploy/aws/variables.tf.

variable "region" {
  description = "Region of the site."
  type        = string
}

variable "name" {
  description = "Prefix of every resource's name. Two sites in one subscription and region need two names."
  type        = string
  default     = "bridge"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.name))
    error_message = "name must have 2 to 16 characters: small letters, digits and hyphens, a letter first. Names of storage accounts have at most 24."
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

variable "tier" {
  description = "Tier of the namespace. Standard: 256 KiB a message, pay by operation. Premium: up to 100 MiB, by the hour, private endpoints, a key of your own, zones."
  type        = string
  default     = "Standard"

  validation {
    condition     = contains(["Standard", "Premium"], var.tier)
    error_message = "tier must be Standard or Premium: Basic has no scheduled messages, which the worker needs to retry later."
  }
}

variable "capacity" {
  description = "Messaging units of a Premium namespace."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 4, 8, 16], var.capacity)
    error_message = "capacity must be 1, 2, 4, 8 or 16."
  }
}

variable "retention_days" {
  description = "How long the queue keeps a message."
  type        = number
  default     = 14

  validation {
    condition     = var.retention_days >= 7 && var.retention_days <= 90
    error_message = "retention_days must be 7 to 90: an outage that lasts longer loses events."
  }
}

variable "dead_letter_retention_days" {
  description = "How long the bridge's dead-letter queue keeps a message. Service Bus's own never lets one expire."
  type        = number
  default     = 14

  validation {
    condition     = var.dead_letter_retention_days >= 7 && var.dead_letter_retention_days <= 90
    error_message = "dead_letter_retention_days must be 7 to 90: an operator needs a week to act."
  }
}

variable "receives_max" {
  description = "Deliveries after which Service Bus itself sets a message aside. A retry of the bridge is a new message, so only crashes count."
  type        = number
  default     = 10

  validation {
    condition     = var.receives_max >= 3 && var.receives_max <= 2000
    error_message = "receives_max must be 3 to 2000: below 3, two crashes of a worker set a good message aside."
  }
}

variable "message_bytes_max" {
  description = "Largest message of the queue. The tier's own where null: 262144 in Standard, 1048576 in Premium. The narrowest queue of all sites limits every event."
  type        = number
  default     = null

  validation {
    condition     = var.message_bytes_max == null || (var.tier == "Standard" ? var.message_bytes_max == 262144 : coalesce(var.message_bytes_max, 0) >= 1048576 && coalesce(var.message_bytes_max, 0) <= 104857600)
    error_message = "message_bytes_max must be 262144 in the Standard tier, and 1048576 to 104857600 in Premium: the broker refuses anything longer than its tier takes."
  }
  validation {
    condition     = coalesce(var.message_bytes_max, 262144) % 1024 == 0
    error_message = "message_bytes_max must be a multiple of 1024: Service Bus counts in KiB."
  }
}

variable "lease_seconds" {
  description = "The queue's lock duration, which is the site's lease_seconds."
  type        = number
  default     = 30

  validation {
    condition     = var.lease_seconds >= 5 && var.lease_seconds <= 300
    error_message = "lease_seconds must be 5 to 300, the limits of Service Bus."
  }
}

variable "throughput_max" {
  description = "Most request units a second of the container, scaled by load (1000 and more, in steps of 1000). Null: serverless, pay by request. A change between the two replaces the account and its records: docs/upgrade.md."
  type        = number
  default     = null

  validation {
    condition     = var.throughput_max == null || (coalesce(var.throughput_max, 0) >= 1000 && coalesce(var.throughput_max, 0) % 1000 == 0)
    error_message = "throughput_max must be a multiple of 1000, at least 1000, or null for serverless."
  }
}

variable "read_regions" {
  description = "Regions with a copy of the account to read. There is one write region, always: with several, the cloud's own rule would decide."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.read_regions, var.region)
    error_message = "read_regions must not contain the site's own region, which is the one write region."
  }
  validation {
    condition     = length(var.read_regions) == 0 || var.throughput_max != null
    error_message = "read_regions need throughput_max: a serverless account has one region."
  }
}

variable "protected" {
  description = "Whether locks keep namespace and account from being deleted, with all in them. Apply with false first, then destroy. A right on a queue or on the container is revoked the same way."
  type        = bool
  default     = true
}

variable "key_id" {
  description = "A key of your own in Key Vault for queues and store, with the identity that may use it: its address without a version, so that a rotated key is taken. Null: keys of Azure. Premium only. Never remove it: that replaces the namespace."
  type        = string
  default     = null

  validation {
    condition     = var.key_id == null || var.tier == "Premium"
    error_message = "key_id needs tier Premium: a Standard namespace takes no key of your own."
  }
  validation {
    condition     = var.key_id == null || can(regex("^https://[^/]+/keys/[^/]+$", var.key_id))
    error_message = "key_id must be the key's address without a version, https://VAULT.vault.azure.net/keys/NAME: Cosmos DB takes no version."
  }
  validation {
    condition     = (var.key_id == null) == (var.key_identity_id == null)
    error_message = "key_id and key_identity_id belong together: the key, and a user-assigned identity that may wrap and unwrap with it."
  }
}

variable "key_identity_id" {
  description = "Resource id of a user-assigned identity with the role Key Vault Crypto Service Encryption User on the key."
  type        = string
  default     = null
}

# Worker

variable "host" {
  description = "What runs the worker: function (Flex Consumption), or container (Container Apps, AKS, a machine), which brings its own compute and gets the identity."
  type        = string
  default     = "function"

  validation {
    condition     = contains(["function", "container"], var.host)
    error_message = "host must be function or container."
  }
}

variable "container_trust" {
  description = "Service accounts of Kubernetes that may be the worker: issuer of the cluster and subject (system:serviceaccount:NAMESPACE:NAME)."
  type        = map(object({ issuer = string, subject = string }))
  default     = {}
}

variable "apps" {
  description = "The function apps of the site, by name: one, or two of which the pipeline updates one after the other. Flex Consumption has no slots."
  type        = list(string)
  default     = ["blue"]

  validation {
    condition     = length(var.apps) >= 1 && length(var.apps) <= 2 && length(distinct(var.apps)) == length(var.apps)
    error_message = "apps must be one or two different names."
  }
  validation {
    condition     = alltrue([for app in var.apps : can(regex("^[a-z][a-z0-9]{0,7}$", app))])
    error_message = "apps must have names of 1 to 8 small letters and digits, a letter first: the host tells two apps apart by the first 32 characters of their whole names."
  }
}

variable "memory_mb" {
  description = "Memory of an instance: 512, 2048 or 4096."
  type        = number
  default     = 512

  validation {
    condition     = contains([512, 2048, 4096], var.memory_mb)
    error_message = "memory_mb must be 512, 2048 or 4096: Flex Consumption knows no other."
  }
}

variable "peer_time_max_seconds" {
  description = "The value of worker.peer_time_max_seconds in the configuration. The package's function has five minutes."
  type        = number
  default     = 10

  validation {
    condition     = var.peer_time_max_seconds >= 1 && var.peer_time_max_seconds <= 60
    error_message = "peer_time_max_seconds must be 1 to 60: hold, halt and sends together must end before the function's five minutes."
  }
}

variable "concurrency_max" {
  description = "Instances at the same time. Each takes up to 16 messages (host.json)."
  type        = number
  default     = 40

  validation {
    condition     = var.concurrency_max >= 40 && var.concurrency_max <= 1000
    error_message = "concurrency_max must be 40 to 1000, the limits of Flex Consumption."
  }
}

variable "always_ready" {
  description = "Instances that never stop: no cold start of the host, paid by the hour."
  type        = number
  default     = 0
}

variable "counting" {
  description = "Whether worker and scale controller may count messages. That needs the role Data Owner on the site's two queues, which may also change and delete them (docs/security.md). Without it the platform scales by polling, and dead letters are brought over after 15 minutes at the latest."
  type        = bool
  default     = true
}

# Identity across the clouds

variable "trusted_peers" {
  description = "Workers of other clouds that may send to this site's queue: the issuer and the subject of their tokens. For AWS the subject is the role's ARN, the issuer the account's."
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
  description = "Audience of the tokens of trusted peers. Other clouds of Azure have another one."
  type        = string
  default     = "api://AzureADTokenExchange"
}

variable "senders" {
  description = "Principal ids that may send to the queue: your applications, and the workers of other Azure sites."
  type        = map(string)
  default     = {}
}

variable "operators" {
  description = "Principal ids of people or groups who run bridge's commands."
  type        = map(string)
  default     = {}
}

# Operation

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([30, 60, 90, 120, 180, 270, 365, 550, 730], var.log_retention_days)
    error_message = "log_retention_days must be 30, 60, 90, 120, 180, 270, 365, 550 or 730."
  }
}

variable "waiting_max" {
  description = "Messages that may wait at all times. An alarm rings if more of them do: for 15 minutes hidden or scheduled for another attempt, or (Azure) for an hour in the queue. Raise it where more are always in flight."
  type        = number
  default     = 20
}

variable "alarm_actions" {
  description = "Ids of action groups that each alert notifies."
  type        = list(string)
  default     = []
}

variable "network" {
  description = "A network of its own with private endpoints for store, queue and storage. allowed_addresses may reach the queue from outside: the peers' workers. Null: no network."
  type = object({
    cidr              = optional(string, "10.30.0.0/20")
    allowed_addresses = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.network == null || var.tier == "Premium"
    error_message = "network needs tier Premium: a Standard namespace has no private endpoint."
  }
}
