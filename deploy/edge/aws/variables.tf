# The same in every module of deploy/edge.

variable "host" {
  description = "The name that your users call, such as app.example.com."
  type        = string
}

variable "endpoints" {
  description = "Your application in each cloud: its public host, its share of the users (0: none, for a drill or an outage), and its region."
  type = map(object({
    host   = string
    weight = optional(number, 100)
    region = string
  }))

  validation {
    condition     = length(var.endpoints) >= 2
    error_message = "endpoints needs two entries or more: with one, an outage of its cloud is an outage of yours."
  }
  validation {
    condition     = alltrue([for endpoint in values(var.endpoints) : endpoint.weight >= 0 && endpoint.weight <= 100]) && sum([for endpoint in values(var.endpoints) : endpoint.weight]) > 0
    error_message = "endpoints: each weight must be 0 to 100, and one of them over 0."
  }
}

variable "health_path" {
  description = "Path that answers 200 while the application of that cloud can serve. It should read and write its own store and queue, not the bridge."
  type        = string
  default     = "/health"

  validation {
    condition     = startswith(var.health_path, "/")
    error_message = "health_path must begin with /."
  }
}

variable "zone_id" {
  description = "Hosted zone of Route 53 that holds the host."
  type        = string
}

variable "routing" {
  description = "How users are spread: weighted (by weight) or latency (each to the nearest region of AWS, see region)."
  type        = string
  default     = "weighted"

  validation {
    condition     = contains(["weighted", "latency"], var.routing)
    error_message = "routing must be weighted or latency."
  }
}

variable "cdn" {
  description = "Put CloudFront with a WAF before the application. Needs certificate_arn."
  type        = bool
  default     = false

  validation {
    condition     = !var.cdn || var.certificate_arn != null
    error_message = "cdn needs certificate_arn: a certificate of us-east-1 for the host."
  }
}

variable "certificate_arn" {
  description = "Certificate for the host, of us-east-1."
  type        = string
  default     = null
}

variable "requests_max" {
  description = "Requests of one address in five minutes before the WAF blocks it."
  type        = number
  default     = 2000
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
