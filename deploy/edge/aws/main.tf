# Users to the clouds by Route 53: a health check and a record for each cloud. With `cdn`, CloudFront and a WAF stand before them.

terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.69, < 7"
    }
  }
}

# Route 53 is global. CloudFront takes its certificate and its WAF from us-east-1 alone.
provider "aws" {
  region = "us-east-1"
}

locals {
  # With a CDN the records below are its origin.
  routed = var.cdn ? "origin-${var.host}" : var.host
}

resource "aws_route53_health_check" "cloud" {
  for_each          = var.endpoints
  type              = "HTTPS"
  fqdn              = each.value.host
  port              = 443
  resource_path     = var.health_path
  request_interval  = 10
  failure_threshold = 3
  tags              = merge(var.tags, { Name = each.key })
}

resource "aws_route53_record" "cloud" {
  for_each        = var.endpoints
  zone_id         = var.zone_id
  name            = local.routed
  type            = "CNAME"
  ttl             = 30
  records         = [each.value.host]
  set_identifier  = each.key
  health_check_id = aws_route53_health_check.cloud[each.key].id

  dynamic "weighted_routing_policy" {
    for_each = var.routing == "weighted" ? [1] : []
    content {
      weight = each.value.weight
    }
  }

  dynamic "latency_routing_policy" {
    for_each = var.routing == "latency" ? [1] : []
    content {
      region = each.value.region
    }
  }
}

locals {
  rules = [
    {
      Name           = "common"
      Priority       = 0
      OverrideAction = { None = {} }
      # A body of over 8 KB is only counted: events and their applications send larger ones.
      Statement = { ManagedRuleGroupStatement = {
        VendorName          = "AWS"
        Name                = "AWSManagedRulesCommonRuleSet"
        RuleActionOverrides = [{ Name = "SizeRestrictions_BODY", ActionToUse = { Count = {} } }]
      } }
      VisibilityConfig = { MetricName = "common", CloudWatchMetricsEnabled = true, SampledRequestsEnabled = false }
    },
    {
      Name             = "bad-inputs"
      Priority         = 1
      OverrideAction   = { None = {} }
      Statement        = { ManagedRuleGroupStatement = { VendorName = "AWS", Name = "AWSManagedRulesKnownBadInputsRuleSet" } }
      VisibilityConfig = { MetricName = "bad-inputs", CloudWatchMetricsEnabled = true, SampledRequestsEnabled = false }
    },
    {
      Name             = "rate"
      Priority         = 2
      Action           = { Block = {} }
      Statement        = { RateBasedStatement = { Limit = var.requests_max, AggregateKeyType = "IP" } }
      VisibilityConfig = { MetricName = "rate", CloudWatchMetricsEnabled = true, SampledRequestsEnabled = false }
    },
  ]
}

resource "aws_wafv2_web_acl" "this" {
  count = var.cdn ? 1 : 0
  name  = replace(var.host, ".", "-")
  scope = "CLOUDFRONT"
  tags  = var.tags
  # In the words of the WAF's own API: a statement may hold statements, which no schema of Terraform shows in full.
  rule_json = jsonencode(local.rules)

  default_action {
    allow {}
  }

  visibility_config {
    metric_name                = "all"
    cloudwatch_metrics_enabled = true
    sampled_requests_enabled   = false
  }
}

resource "aws_cloudfront_distribution" "this" {
  count           = var.cdn ? 1 : 0
  enabled         = true
  is_ipv6_enabled = true
  aliases         = [var.host]
  web_acl_id      = aws_wafv2_web_acl.this[0].arn
  price_class     = "PriceClass_100"
  tags            = var.tags

  origin {
    origin_id   = "clouds"
    domain_name = local.routed

    custom_origin_config {
      http_port              = 80
      https_port             = 443
      origin_protocol_policy = "https-only"
      origin_ssl_protocols   = ["TLSv1.2"]
    }
  }

  # An application that writes: nothing is cached, everything is handed on.
  default_cache_behavior {
    target_origin_id         = "clouds"
    viewer_protocol_policy   = "redirect-to-https"
    allowed_methods          = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods           = ["GET", "HEAD"]
    cache_policy_id          = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad" # Managed-CachingDisabled
    origin_request_policy_id = "216adef6-5c7f-47e4-b989-5492eafa07d3" # Managed-AllViewer
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    acm_certificate_arn      = var.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }
}

resource "aws_route53_record" "cdn" {
  for_each = var.cdn ? toset(["A", "AAAA"]) : toset([])
  zone_id  = var.zone_id
  name     = var.host
  type     = each.key

  alias {
    name                   = aws_cloudfront_distribution.this[0].domain_name
    zone_id                = aws_cloudfront_distribution.this[0].hosted_zone_id
    evaluate_target_health = false
  }
}

output "health_checks" {
  description = "The health check of each cloud, for alarms."
  value       = { for name, check in aws_route53_health_check.cloud : name => check.id }
}
