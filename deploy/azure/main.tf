# One site of the bridge in Azure: namespace with queue and dead-letter queue, Cosmos DB container, and a function app or an
# identity for a container.

data "azurerm_client_config" "this" {}

locals {
  site     = "azure:${var.region}"
  function = var.host == "function"
  private  = var.network != null
  # Names of namespaces, accounts and apps are unique in the whole world.
  suffix = substr(sha1("${data.azurerm_client_config.this.subscription_id}/${var.name}/${var.region}"), 0, 6)
  unique = "${var.name}-${local.suffix}"

  tags = merge(var.tags, { "bridge-site" = replace(local.site, ":", "-") })
}

resource "azurerm_resource_group" "this" {
  name     = "${var.name}-${var.region}"
  location = var.region
  tags     = local.tags
}

resource "azurerm_management_lock" "this" {
  for_each   = var.protected ? { queues = azurerm_servicebus_namespace.this.id, store = azurerm_cosmosdb_account.this.id } : {}
  name       = each.key
  scope      = each.value
  lock_level = "CanNotDelete"
  notes      = "Queues and store of the bridge. Apply with protected = false before you delete them, or a right on them."
}
