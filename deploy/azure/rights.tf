# Who may do what. docs/rights.md names the call behind each right; tests/deploy compares both with the calls of the binary.

locals {
  queues = { events = azurerm_servicebus_queue.events.id, dead = azurerm_servicebus_queue.dead.id }

  container_scope = "${azurerm_cosmosdb_account.this.id}/dbs/${azurerm_cosmosdb_sql_database.bridge.name}/colls/${azurerm_cosmosdb_sql_container.records.name}"

  # Receiver and Sender do what a worker does. Owner alone may read a queue's description, which holds its counts.
  worker_queue_roles = var.counting ? ["Azure Service Bus Data Owner"] : ["Azure Service Bus Data Receiver", "Azure Service Bus Data Sender"]

  worker_queue_rights = {
    for pair in setproduct(keys(local.queues), local.worker_queue_roles) :
    "${pair[0]}-${replace(pair[1], " ", "")}" => { scope = local.queues[pair[0]], role = pair[1] }
  }

  worker_store_actions = [
    "Microsoft.DocumentDB/databaseAccounts/readMetadata",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/replace",
  ]
  operator_store_actions = concat(local.worker_store_actions, [
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery",
  ])
}

resource "azurerm_user_assigned_identity" "worker" {
  name                = "${var.name}-worker"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = local.tags
}

resource "azurerm_role_assignment" "worker_queue" {
  for_each             = local.worker_queue_rights
  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.worker.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_cosmosdb_sql_role_definition" "worker" {
  name                = "bridge worker"
  resource_group_name = azurerm_resource_group.this.name
  account_name        = azurerm_cosmosdb_account.this.name
  assignable_scopes   = [azurerm_cosmosdb_account.this.id]

  permissions {
    data_actions = local.worker_store_actions
  }
}

resource "azurerm_cosmosdb_sql_role_assignment" "worker" {
  resource_group_name = azurerm_resource_group.this.name
  account_name        = azurerm_cosmosdb_account.this.name
  role_definition_id  = azurerm_cosmosdb_sql_role_definition.worker.id
  principal_id        = azurerm_user_assigned_identity.worker.principal_id
  scope               = local.container_scope
}

resource "azurerm_role_assignment" "sender" {
  for_each             = var.senders
  scope                = azurerm_servicebus_queue.events.id
  role_definition_name = "Azure Service Bus Data Sender"
  principal_id         = each.value
}

# For people who run bridge lag, dashboard, replay, verify, doctor, backfill and drill.
resource "azurerm_role_assignment" "operator_queue" {
  for_each = {
    for pair in setproduct(keys(var.operators), keys(local.queues)) : "${pair[0]}-${pair[1]}" => { principal = var.operators[pair[0]], scope = local.queues[pair[1]] }
  }
  scope                = each.value.scope
  role_definition_name = "Azure Service Bus Data Owner"
  principal_id         = each.value.principal
}

resource "azurerm_cosmosdb_sql_role_definition" "operator" {
  name                = "bridge operator"
  resource_group_name = azurerm_resource_group.this.name
  account_name        = azurerm_cosmosdb_account.this.name
  assignable_scopes   = [azurerm_cosmosdb_account.this.id]

  permissions {
    data_actions = local.operator_store_actions
  }
}

resource "azurerm_cosmosdb_sql_role_assignment" "operator" {
  for_each            = var.operators
  resource_group_name = azurerm_resource_group.this.name
  account_name        = azurerm_cosmosdb_account.this.name
  role_definition_id  = azurerm_cosmosdb_sql_role_definition.operator.id
  principal_id        = each.value
  scope               = local.container_scope
}
