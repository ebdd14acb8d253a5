# The worker as a function app with a custom handler. With two apps the pipeline updates one after the other: both read the same
# queue, and either alone is enough.

resource "azurerm_storage_account" "packages" {
  count                           = local.function ? 1 : 0
  name                            = substr(replace("${var.name}${local.suffix}", "-", ""), 0, 24)
  resource_group_name             = azurerm_resource_group.this.name
  location                        = azurerm_resource_group.this.location
  account_tier                    = "Standard"
  account_replication_type        = "ZRS"
  min_tls_version                 = "TLS1_2"
  shared_access_key_enabled       = false # No keys: identities alone.
  allow_nested_items_to_be_public = false
  default_to_oauth_authentication = true
  public_network_access_enabled   = !local.private
  tags                            = local.tags
}

resource "azurerm_storage_container" "packages" {
  for_each           = local.function ? toset(var.apps) : toset([])
  name               = "packages-${each.key}"
  storage_account_id = azurerm_storage_account.packages[0].id
}

# The host keeps its package and the timer's lease there.
resource "azurerm_role_assignment" "storage" {
  count                = local.function ? 1 : 0
  scope                = azurerm_storage_account.packages[0].id
  role_definition_name = "Storage Blob Data Owner"
  principal_id         = azurerm_user_assigned_identity.worker.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_service_plan" "worker" {
  for_each            = local.function ? toset(var.apps) : toset([])
  name                = "${var.name}-${each.key}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  os_type             = "Linux"
  sku_name            = "FC1"
  tags                = local.tags
}

resource "azurerm_function_app_flex_consumption" "worker" {
  for_each                          = local.function ? toset(var.apps) : toset([])
  name                              = "${local.unique}-${each.key}"
  resource_group_name               = azurerm_resource_group.this.name
  location                          = azurerm_resource_group.this.location
  service_plan_id                   = azurerm_service_plan.worker[each.key].id
  storage_container_type            = "blobContainer"
  storage_container_endpoint        = "${azurerm_storage_account.packages[0].primary_blob_endpoint}${azurerm_storage_container.packages[each.key].name}"
  storage_authentication_type       = "UserAssignedIdentity"
  storage_user_assigned_identity_id = azurerm_user_assigned_identity.worker.id
  # A wrong version is accepted here and fails at the start.
  runtime_name              = "custom"
  runtime_version           = "1.0"
  maximum_instance_count    = var.concurrency_max
  instance_memory_in_mb     = var.memory_mb
  https_only                = true
  virtual_network_subnet_id = local.private ? azurerm_subnet.function[0].id : null
  tags                      = local.tags

  app_settings = merge({
    BRIDGE_SITE   = local.site
    BRIDGE_CONFIG = coalesce(var.configuration, "/dev/null")
    BRIDGE_QUEUE  = azurerm_servicebus_queue.events.name
    # The worker's own identity, and the host's: for its trigger and its storage.
    AZURE_CLIENT_ID                             = azurerm_user_assigned_identity.worker.client_id
    BRIDGE_SERVICE_BUS__fullyQualifiedNamespace = "${azurerm_servicebus_namespace.this.name}.servicebus.windows.net"
    BRIDGE_SERVICE_BUS__credential              = "managedidentity"
    BRIDGE_SERVICE_BUS__clientId                = azurerm_user_assigned_identity.worker.client_id
    # azurerm sets a connection string with an empty key, which would win over the identity (its issue 29693). What stands here wins
    # over that, and the host takes an empty text as none. The guide's step 5 checks it.
    AzureWebJobsStorage                       = ""
    AzureWebJobsStorage__accountName          = azurerm_storage_account.packages[0].name
    AzureWebJobsStorage__credential           = "managedidentity"
    AzureWebJobsStorage__clientId             = azurerm_user_assigned_identity.worker.client_id
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "ClientId=${azurerm_user_assigned_identity.worker.client_id};Authorization=AAD"
  }, var.environment)

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.worker.id]
  }

  site_config {
    application_insights_connection_string = azurerm_application_insights.this[0].connection_string
    minimum_tls_version                    = "1.2"
  }

  dynamic "always_ready" {
    for_each = var.always_ready > 0 ? [1] : []
    content {
      name           = "function:Replicate"
      instance_count = var.always_ready
    }
  }

  depends_on = [azurerm_role_assignment.storage, azurerm_role_assignment.worker_queue, azurerm_cosmosdb_sql_role_assignment.worker]

  lifecycle {
    # The pipeline starts and stops the apps.
    ignore_changes = [enabled]

    precondition {
      condition     = var.configuration != null
      error_message = "configuration is missing: the function needs the text of all sites. Build it with deploy/configuration, or set host to container."
    }
  }
}
