# The bridge's own container. Applications may read it, and must not write to it.

resource "azurerm_cosmosdb_account" "this" {
  name                          = local.unique
  resource_group_name           = azurerm_resource_group.this.name
  location                      = azurerm_resource_group.this.location
  offer_type                    = "Standard"
  kind                          = "GlobalDocumentDB"
  local_authentication_enabled  = false # No keys: identities alone.
  minimal_tls_version           = "Tls12"
  public_network_access_enabled = !local.private
  key_vault_key_id              = var.key_id
  default_identity_type         = var.key_id == null ? null : "UserAssignedIdentity=${var.key_identity_id}"
  tags                          = local.tags

  # One region is written. With several, the cloud's own rule would decide, which knows no version and no tombstone.
  multiple_write_locations_enabled = false
  automatic_failover_enabled       = false

  # The conditional write is the guard; a stale read costs another turn, never a wrong write.
  consistency_policy {
    consistency_level = "Session"
  }

  geo_location {
    location          = var.region
    failover_priority = 0
  }

  dynamic "geo_location" {
    for_each = { for index, region in var.read_regions : region => index + 1 }
    content {
      location          = geo_location.key
      failover_priority = geo_location.value
    }
  }

  dynamic "capabilities" {
    for_each = var.throughput_max == null ? ["EnableServerless"] : []
    content {
      name = capabilities.value
    }
  }

  dynamic "identity" {
    for_each = var.key_id == null ? [] : [1]
    content {
      type         = "UserAssigned"
      identity_ids = [var.key_identity_id]
    }
  }

  backup {
    type = "Continuous"
    tier = "Continuous7Days"
  }
}

resource "azurerm_cosmosdb_sql_database" "bridge" {
  name                = "bridge"
  resource_group_name = azurerm_resource_group.this.name
  account_name        = azurerm_cosmosdb_account.this.name
}

resource "azurerm_cosmosdb_sql_container" "records" {
  name                = "records"
  resource_group_name = azurerm_resource_group.this.name
  account_name        = azurerm_cosmosdb_account.this.name
  database_name       = azurerm_cosmosdb_sql_database.bridge.name
  partition_key_paths = ["/pk"]
  # Version 2 takes keys of 2 KB; version 1 only 101 bytes.
  partition_key_version = 2
  # Items expire by their own `ttl`, which only tombstones have.
  default_ttl = -1

  dynamic "autoscale_settings" {
    for_each = var.throughput_max == null ? [] : [1]
    content {
      max_throughput = var.throughput_max
    }
  }

  # The bridge reads by key. A payload has any number of fields, and each indexed one costs with every write: docs/costs.md.
  indexing_policy {
    indexing_mode = "consistent"

    included_path {
      path = "/pk/?"
    }
    excluded_path {
      path = "/*"
    }
  }
}
