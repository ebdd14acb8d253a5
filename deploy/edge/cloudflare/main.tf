# Users to the clouds by Cloudflare's load balancer: independent of both clouds. A pool and a health check for each.

terraform {
  required_version = ">= 1.10"
  required_providers {
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = ">= 5.28, < 6"
    }
  }
}

resource "cloudflare_load_balancer_monitor" "this" {
  account_id     = var.account_id
  type           = "https"
  method         = "GET"
  path           = var.health_path
  expected_codes = "200"
  interval       = 60
  timeout        = 5
  retries        = 2
}

resource "cloudflare_load_balancer_pool" "cloud" {
  for_each   = var.endpoints
  account_id = var.account_id
  name       = each.key
  monitor    = cloudflare_load_balancer_monitor.this.id
  enabled    = each.value.weight > 0

  origins = [{
    name    = each.key
    address = each.value.host
    weight  = 1
    header  = { host = [each.value.host] }
  }]
}

locals {
  pools = { for name, pool in cloudflare_load_balancer_pool.cloud : name => pool.id }
  most  = max([for endpoint in values(var.endpoints) : endpoint.weight]...)
  last  = [for name, endpoint in var.endpoints : local.pools[name] if endpoint.weight == local.most][0]
}

resource "cloudflare_load_balancer" "this" {
  zone_id         = var.zone_id
  name            = var.host
  proxied         = true
  default_pools   = values(local.pools)
  fallback_pool   = local.last
  steering_policy = "random"

  random_steering = {
    default_weight = 0
    pool_weights   = { for name, endpoint in var.endpoints : local.pools[name] => endpoint.weight / local.most }
  }
}
