# Once per subscription, by a person: a place for Terraform's state, and an identity that the pipeline of one repository may take by OIDC.

terraform {
  required_version = ">= 1.10"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 5.10, < 6"
    }
  }
}

provider "azurerm" {
  subscription_id                 = var.subscription_id
  resource_provider_registrations = "core"
  storage_use_azuread             = true
  features {}
}

variable "subscription_id" {
  description = "Subscription to work in."
  type        = string
}

variable "name" {
  description = "Prefix of every resource's name."
  type        = string
  default     = "bridge"
}

variable "region" {
  description = "Region of the state."
  type        = string
}

variable "repository" {
  description = "OWNER/NAME of the repository whose pipeline deploys."
  type        = string

  validation {
    condition     = can(regex("^[^/*]+/[^/*]+$", var.repository))
    error_message = "repository must be OWNER/NAME, without a wildcard: any other could deploy here."
  }
}

variable "environment" {
  description = "The repository's environment whose jobs may deploy. Protect it with reviewers."
  type        = string
  default     = "production"
}

variable "subject" {
  description = "The exact `sub` of the pipeline's token, where GitHub puts ids into it (repo:OWNER@ID/NAME@ID:environment:ENVIRONMENT): the default of newer repositories. Null: repo:OWNER/NAME:environment:ENVIRONMENT."
  type        = string
  default     = null

  validation {
    condition     = var.subject == null || can(regex("^repo:[^*]+:environment:[^*]+$", var.subject))
    error_message = "subject must be the exact text repo:...:environment:..., without a wildcard: any other job could deploy here."
  }
}

variable "site_resource_group_id" {
  description = "Resource group of the site, once deploy/azure has made it. The deployer gets its role there."
  type        = string
  default     = null
}

data "azurerm_client_config" "this" {}

locals {
  suffix = substr(sha1("${data.azurerm_client_config.this.subscription_id}/state"), 0, 6)
}

resource "azurerm_resource_group" "state" {
  name     = "${var.name}-state"
  location = var.region
}

resource "azurerm_storage_account" "state" {
  name                            = substr(replace("${var.name}state${local.suffix}", "-", ""), 0, 24)
  resource_group_name             = azurerm_resource_group.state.name
  location                        = azurerm_resource_group.state.location
  account_tier                    = "Standard"
  account_replication_type        = "ZRS"
  min_tls_version                 = "TLS1_2"
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  allow_nested_items_to_be_public = false

  blob_properties {
    versioning_enabled = true
    delete_retention_policy {
      days = 30
    }
  }

  # The state knows what there is. Whoever wants to delete it takes this line out first.
  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_storage_container" "state" {
  name               = "state"
  storage_account_id = azurerm_storage_account.state.id
}

# Whoever runs Terraform reads and writes the state.
resource "azurerm_role_assignment" "state" {
  scope                = azurerm_storage_account.state.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = data.azurerm_client_config.this.object_id
}

resource "azurerm_user_assigned_identity" "deployer" {
  name                = "${var.name}-deployer"
  resource_group_name = azurerm_resource_group.state.name
  location            = azurerm_resource_group.state.location
}

resource "azurerm_federated_identity_credential" "deployer" {
  name                      = "github"
  user_assigned_identity_id = azurerm_user_assigned_identity.deployer.id
  issuer                    = "https://token.actions.githubusercontent.com"
  subject                   = coalesce(var.subject, "repo:${var.repository}:environment:${var.environment}")
  audience                  = ["api://AzureADTokenExchange"]
}

# A new package, start and stop of an app: what the pipeline does between two runs of Terraform.
resource "azurerm_role_assignment" "deployer" {
  for_each             = var.site_resource_group_id == null ? toset([]) : toset(["Website Contributor", "Monitoring Reader"])
  scope                = var.site_resource_group_id
  role_definition_name = each.key
  principal_id         = azurerm_user_assigned_identity.deployer.principal_id
  principal_type       = "ServicePrincipal"
}

output "backend" {
  description = "The block for the root module."
  value       = <<-HCL
    backend "azurerm" {
      storage_account_name = "${azurerm_storage_account.state.name}"
      container_name       = "${azurerm_storage_container.state.name}"
      key                  = "bridge.tfstate"
      use_azuread_auth     = true
    }
  HCL
}

output "deployer" {
  description = "Client id for the repository's variable AZURE_CLIENT_ID."
  value       = azurerm_user_assigned_identity.deployer.client_id
}
