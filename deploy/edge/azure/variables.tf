# The same in every module of deploy/edge.

variable "subscription_id" {
  description = "Subscription to work in."
  type        = string
}

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

variable "name" {
  description = "Prefix of every resource's name."
  type        = string
  default     = "bridge-edge"
}

variable "region" {
  description = "Region of the resource group. What it holds is global."
  type        = string
}

variable "routing" {
  description = "dns: Traffic Manager answers with the address of a cloud. proxy: Front Door with a WAF takes the requests itself."
  type        = string
  default     = "dns"

  validation {
    condition     = contains(["dns", "proxy"], var.routing)
    error_message = "routing must be dns (Traffic Manager) or proxy (Front Door)."
  }
}

variable "requests_max" {
  description = "Requests of one address in a minute before the WAF blocks it."
  type        = number
  default     = 500
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
