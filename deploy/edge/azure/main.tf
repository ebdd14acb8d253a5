# Users to the clouds by Traffic Manager (dns), or by Front Door with a WAF (proxy).

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
  resource_providers_to_register  = ["Microsoft.Cdn"]
  features {}
}

locals {
  dns   = var.routing == "dns"
  proxy = var.routing == "proxy"
}

resource "azurerm_resource_group" "this" {
  name     = var.name
  location = var.region
  tags     = var.tags
}

resource "azurerm_traffic_manager_profile" "this" {
  count                  = local.dns ? 1 : 0
  name                   = var.name
  resource_group_name    = azurerm_resource_group.this.name
  traffic_routing_method = "Weighted"
  tags                   = var.tags

  dns_config {
    relative_name = var.name
    ttl           = 30
  }

  monitor_config {
    protocol                     = "HTTPS"
    port                         = 443
    path                         = var.health_path
    interval_in_seconds          = 10
    timeout_in_seconds           = 5
    tolerated_number_of_failures = 2
  }
}

resource "azurerm_traffic_manager_external_endpoint" "cloud" {
  for_each   = local.dns ? var.endpoints : {}
  name       = each.key
  profile_id = azurerm_traffic_manager_profile.this[0].id
  target     = each.value.host
  # Weights are 1 to 1000 there; without users an endpoint is off.
  enabled = each.value.weight > 0
  weight  = max(1, each.value.weight * 10)
}

resource "azurerm_cdn_frontdoor_profile" "this" {
  count               = local.proxy ? 1 : 0
  name                = var.name
  resource_group_name = azurerm_resource_group.this.name
  sku_name            = "Premium_AzureFrontDoor" # Standard has no managed rules.
  tags                = var.tags
}

resource "azurerm_cdn_frontdoor_endpoint" "this" {
  count                    = local.proxy ? 1 : 0
  name                     = var.name
  cdn_frontdoor_profile_id = azurerm_cdn_frontdoor_profile.this[0].id
  tags                     = var.tags
}

resource "azurerm_cdn_frontdoor_origin_group" "clouds" {
  count                    = local.proxy ? 1 : 0
  name                     = "clouds"
  cdn_frontdoor_profile_id = azurerm_cdn_frontdoor_profile.this[0].id
  session_affinity_enabled = false

  load_balancing {
    sample_size                        = 4
    successful_samples_required        = 3
    additional_latency_in_milliseconds = 50
  }

  health_probe {
    protocol            = "Https"
    path                = var.health_path
    request_type        = "GET"
    interval_in_seconds = 30
  }
}

resource "azurerm_cdn_frontdoor_origin" "cloud" {
  for_each                       = local.proxy ? var.endpoints : {}
  name                           = each.key
  cdn_frontdoor_origin_group_id  = azurerm_cdn_frontdoor_origin_group.clouds[0].id
  host_name                      = each.value.host
  origin_host_header             = each.value.host
  https_port                     = 443
  enabled                        = each.value.weight > 0
  weight                         = max(1, each.value.weight * 10)
  certificate_name_check_enabled = true
}

resource "azurerm_cdn_frontdoor_custom_domain" "this" {
  count                    = local.proxy ? 1 : 0
  name                     = replace(var.host, ".", "-")
  cdn_frontdoor_profile_id = azurerm_cdn_frontdoor_profile.this[0].id
  host_name                = var.host

  tls {
    certificate_type = "ManagedCertificate"
  }
}

resource "azurerm_cdn_frontdoor_route" "all" {
  count                           = local.proxy ? 1 : 0
  name                            = "all"
  cdn_frontdoor_endpoint_id       = azurerm_cdn_frontdoor_endpoint.this[0].id
  cdn_frontdoor_origin_group_id   = azurerm_cdn_frontdoor_origin_group.clouds[0].id
  cdn_frontdoor_origin_ids        = [for origin in azurerm_cdn_frontdoor_origin.cloud : origin.id]
  cdn_frontdoor_custom_domain_ids = [azurerm_cdn_frontdoor_custom_domain.this[0].id]
  patterns_to_match               = ["/*"]
  supported_protocols             = ["Http", "Https"]
  forwarding_protocol             = "HttpsOnly"
  https_redirect_enabled          = true
  link_to_default_domain          = false
}

resource "azurerm_cdn_frontdoor_firewall_policy" "this" {
  count               = local.proxy ? 1 : 0
  name                = replace(var.name, "-", "")
  resource_group_name = azurerm_resource_group.this.name
  sku_name            = azurerm_cdn_frontdoor_profile.this[0].sku_name
  enabled             = true
  mode                = "Prevention"
  tags                = var.tags

  managed_rule {
    type    = "Microsoft_DefaultRuleSet"
    version = "2.1"
    action  = "Block"
  }

  custom_rule {
    name                           = "rate"
    type                           = "RateLimitRule"
    action                         = "Block"
    priority                       = 1
    rate_limit_duration_in_minutes = 1
    rate_limit_threshold           = var.requests_max

    match_condition {
      match_variable     = "SocketAddr"
      operator           = "IPMatch"
      match_values       = ["0.0.0.0/0", "::/0"]
      negation_condition = false
    }
  }
}

resource "azurerm_cdn_frontdoor_security_policy" "this" {
  count                    = local.proxy ? 1 : 0
  name                     = "waf"
  cdn_frontdoor_profile_id = azurerm_cdn_frontdoor_profile.this[0].id

  security_policies {
    firewall {
      cdn_frontdoor_firewall_policy_id = azurerm_cdn_frontdoor_firewall_policy.this[0].id

      association {
        patterns_to_match = ["/*"]
        domain {
          cdn_frontdoor_domain_id = azurerm_cdn_frontdoor_custom_domain.this[0].id
        }
      }
    }
  }
}

output "target" {
  description = "What the host's CNAME must name."
  value       = local.dns ? azurerm_traffic_manager_profile.this[0].fqdn : azurerm_cdn_frontdoor_endpoint.this[0].host_name
}

output "validation_token" {
  description = "The value of the TXT record _dnsauth.HOST, by which Front Door checks that the host is yours. Null with dns."
  value       = try(azurerm_cdn_frontdoor_custom_domain.this[0].validation_token, null)
}
