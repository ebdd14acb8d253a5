# A worker on Container Apps, beside the site that deploy/azure makes with host = "container".

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
  resource_providers_to_register  = ["Microsoft.App", "Microsoft.DocumentDB", "microsoft.insights", "Microsoft.OperationalInsights", "Microsoft.ServiceBus", "Microsoft.Web"]
  storage_use_azuread             = true
  features {}
}

variable "subscription_id" {
  description = "Subscription to work in."
  type        = string
}

variable "region" {
  description = "Region of the site."
  type        = string
  default     = "westeurope"
}

variable "image" {
  description = "The image, by its digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must end in @sha256:DIGEST: a tag can mean another image tomorrow."
  }
}

variable "configuration" {
  description = "The configuration file of all sites (TOML)."
  type        = string
}

variable "workers" {
  description = "Fewest and most workers."
  type        = object({ min = number, max = number })
  default     = { min = 1, max = 10 }

  validation {
    condition     = var.workers.min >= 1 && var.workers.max >= var.workers.min
    error_message = "workers.min must be at least 1, because a worker sends the site's heartbeats; workers.max at least as many."
  }
}

module "site" {
  source = "../.."
  region = var.region
  host   = "container"
}

resource "azurerm_log_analytics_workspace" "this" {
  name                = "bridge-apps"
  resource_group_name = module.site.resource_group
  location            = var.region
  sku                 = "PerGB2018"
  retention_in_days   = 30
}

resource "azurerm_container_app_environment" "this" {
  name                       = "bridge"
  resource_group_name        = module.site.resource_group
  location                   = var.region
  logs_destination           = "log-analytics"
  log_analytics_workspace_id = azurerm_log_analytics_workspace.this.id
}

resource "azurerm_container_app" "worker" {
  name                         = "bridge-worker"
  resource_group_name          = module.site.resource_group
  container_app_environment_id = azurerm_container_app_environment.this.id
  revision_mode                = "Single"

  identity {
    type         = "UserAssigned"
    identity_ids = [module.site.worker_identity_id]
  }

  template {
    min_replicas = var.workers.min
    max_replicas = var.workers.max

    container {
      name   = "bridge"
      image  = var.image
      cpu    = 0.25
      memory = "0.5Gi"

      env {
        name  = "BRIDGE_SITE"
        value = module.site.site
      }
      env {
        name  = "BRIDGE_CONFIG"
        value = var.configuration
      }
      env {
        name  = "AZURE_CLIENT_ID"
        value = module.site.worker_client_id
      }
    }

    custom_scale_rule {
      name             = "backlog"
      custom_rule_type = "azure-servicebus"
      identity_id      = module.site.worker_identity_id
      metadata = {
        namespace    = module.site.namespace
        queueName    = module.site.queue
        messageCount = "500"
      }
    }
  }
}

output "facts" {
  description = "The site as deploy/configuration takes it."
  value       = module.site.facts
}
