# One site in AWS and one in Azure that replicate to each other, without a stored secret. The guide (deploy/README.md) goes through it.

terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.69, < 7"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 5.10, < 6"
    }
  }
  # State: deploy/state makes a place for it in either cloud. Put its output `backend` here.
}

provider "aws" {
  region = var.aws_region
}

provider "azurerm" {
  subscription_id                 = var.azure_subscription_id
  resource_provider_registrations = "core"
  # "core" has no queue, store, function or alert.
  resource_providers_to_register = [
    "Microsoft.AlertsManagement", "Microsoft.App", "Microsoft.DocumentDB", "microsoft.insights",
    "Microsoft.OperationalInsights", "Microsoft.ServiceBus", "Microsoft.Web",
  ]
  storage_use_azuread = true
  features {}
}

variable "aws_region" {
  description = "Region of the AWS site."
  type        = string
  default     = "us-east-1"
}

variable "azure_region" {
  description = "Region of the Azure site."
  type        = string
  default     = "westeurope"
}

variable "azure_subscription_id" {
  description = "Subscription of the Azure site."
  type        = string
}

variable "azure_audience" {
  description = "URI of the application in the Azure tenant that the Azure worker asks a token for when it goes to AWS (deploy/README.md, step 2)."
  type        = string
}

variable "enable_outbound_federation" {
  description = "Whether the AWS account's outbound identity federation is turned on here. False if it is on already."
  type        = bool
  default     = true
}

variable "enable_inbound_federation" {
  description = "Whether the AWS account's identity provider for the Azure tenant is made here. False if another site made it."
  type        = bool
  default     = true
}

variable "aws_issuer" {
  description = "The AWS account's issuer, where its federation is on already."
  type        = string
  default     = null
}

variable "package" {
  description = "Path of lambda-arm64.zip, as ./just package makes it."
  type        = string
  default     = "../../target/package/lambda-arm64.zip"
}

variable "protected" {
  description = "Whether the table, the namespace and the Cosmos DB account refuse to be deleted. False for a trial."
  type        = bool
  default     = true
}

variable "tier" {
  description = "Tier of the Azure namespace: Standard or Premium (deploy/azure)."
  type        = string
  default     = "Standard"
}

variable "aws_host" {
  description = "What runs the AWS worker: function or container."
  type        = string
  default     = "function"
}

variable "azure_host" {
  description = "What runs the Azure worker: function or container."
  type        = string
  default     = "function"
}

variable "aws_container_trust" {
  description = "Trust policy (JSON) of the AWS worker's role where aws_host is container. Null: ECS tasks."
  type        = string
  default     = null
}

variable "azure_container_trust" {
  description = "Service accounts of Kubernetes that may be the Azure worker: issuer and subject."
  type        = map(object({ issuer = string, subject = string }))
  default     = {}
}

variable "azure_apps" {
  description = "The function apps of the Azure site: one, or two of which the pipeline updates one after the other."
  type        = list(string)
  default     = ["blue"]
}

variable "aws_network" {
  description = "A network of its own for the AWS site (deploy/aws). Null: no network."
  type        = object({ cidr = optional(string), zones = optional(number), nat = optional(bool) })
  default     = null
}

variable "azure_network" {
  description = "A network of its own for the Azure site (deploy/azure). The AWS site's NAT gateways may reach its queue. Null: no network."
  type        = object({ cidr = optional(string), allowed_addresses = optional(list(string), []) })
  default     = null
}

variable "aws_senders" {
  description = "ARNs of roles that may send to the AWS queue: your applications."
  type        = list(string)
  default     = []
}

variable "azure_senders" {
  description = "Principal ids that may send to the Azure queue: your applications."
  type        = map(string)
  default     = {}
}

variable "azure_operators" {
  description = "Principal ids of people or groups who run bridge's commands. In AWS attach the policy of the output aws.operator_access."
  type        = map(string)
  default     = {}
}

variable "aws_alarm_actions" {
  description = "ARNs that each alarm of AWS notifies, such as an SNS topic."
  type        = list(string)
  default     = []
}

variable "azure_alarm_actions" {
  description = "Ids of action groups that each alert of Azure notifies."
  type        = list(string)
  default     = []
}

module "aws" {
  source                     = "../aws"
  region                     = var.aws_region
  package                    = var.package
  protected                  = var.protected
  host                       = var.aws_host
  container_trust            = var.aws_container_trust
  network                    = var.aws_network
  senders                    = var.aws_senders
  alarm_actions              = var.aws_alarm_actions
  configuration              = module.configuration.text
  enable_outbound_federation = var.enable_outbound_federation
  enable_inbound_federation  = var.enable_inbound_federation
  outbound_issuer            = var.aws_issuer
  inbound_audience           = var.azure_audience
  trusted_peers = {
    azure = {
      issuer  = module.azure.issuer
      subject = module.azure.worker_identity
    }
  }
}

module "azure" {
  source          = "../azure"
  region          = var.azure_region
  protected       = var.protected
  tier            = var.tier
  host            = var.azure_host
  container_trust = var.azure_container_trust
  apps            = var.azure_apps
  senders         = var.azure_senders
  operators       = var.azure_operators
  alarm_actions   = var.azure_alarm_actions
  configuration   = module.configuration.text
  network = var.azure_network == null ? null : {
    cidr              = var.azure_network.cidr
    allowed_addresses = concat(var.azure_network.allowed_addresses, module.aws.egress_addresses)
  }
  trusted_peers = {
    aws = {
      issuer  = module.aws.issuer
      subject = module.aws.worker_identity
    }
  }
}

module "configuration" {
  source = "../configuration"
  sites  = [module.aws.facts, module.azure.facts]
}

output "configuration" {
  description = "For operators: terraform output -raw configuration > bridge.toml"
  value       = module.configuration.text
}

output "aws" {
  description = "What the pipeline and the guide need of the AWS site."
  value = {
    function_name   = module.aws.function_name
    operator_access = module.aws.operator_access
    queue           = module.aws.queue
    peer_access     = module.aws.peer_access
    worker_identity = module.aws.worker_identity
  }
}

output "azure_resource_group_id" {
  description = "For site_resource_group_id of state/azure: the pipeline's identity gets its roles there."
  value       = module.azure.resource_group_id
}

output "azure" {
  description = "What the pipeline and the guide need of the Azure site."
  value = {
    function_names     = module.azure.function_names
    queue              = module.azure.queue
    peer_access        = module.azure.peer_access
    worker_client_id   = module.azure.worker_client_id
    worker_identity_id = module.azure.worker_identity_id
    namespace          = module.azure.namespace
  }
}
