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
  storage_use_azuread             = true
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
  description = "Whether table and resource group refuse to be deleted. False for a trial."
  type        = bool
  default     = true
}

module "aws" {
  source                     = "../aws"
  region                     = var.aws_region
  package                    = var.package
  protected                  = var.protected
  configuration              = module.configuration.text
  enable_outbound_federation = var.enable_outbound_federation
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
  source        = "../azure"
  region        = var.azure_region
  protected     = var.protected
  configuration = module.configuration.text
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
  }
}

output "azure" {
  description = "What the pipeline and the guide need of the Azure site."
  value = {
    function_names = module.azure.function_names
    queue          = module.azure.queue
    peer_access    = module.azure.peer_access
  }
}
