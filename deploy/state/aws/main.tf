# Once per account, by a person: a place for Terraform's state, and a role that the pipeline of one repository may take by OIDC.

terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.69, < 7"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "name" {
  description = "Prefix of every resource's name."
  type        = string
  default     = "bridge"
}

variable "region" {
  description = "Region of the state, and of the function that the pipeline deploys to."
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

variable "enable_github" {
  description = "Make the provider of GitHub's tokens. Once per account: false if it is there already."
  type        = bool
  default     = true
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  github    = "token.actions.githubusercontent.com"
}

resource "aws_s3_bucket" "state" {
  bucket = "${var.name}-state-${local.account}-${var.region}"

  # The state knows what there is. Whoever wants to delete it takes this line out first.
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 90
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket                  = aws_s3_bucket.state.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "state" {
  bucket = aws_s3_bucket.state.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.state.arn, "${aws_s3_bucket.state.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_iam_openid_connect_provider" "github" {
  count          = var.enable_github ? 1 : 0
  url            = "https://${local.github}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "deployer" {
  name                 = "${var.name}-deployer"
  description          = "Deploys new packages of the bridge's worker"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = "arn:${local.partition}:iam::${local.account}:oidc-provider/${local.github}" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.github}:aud" = "sts.amazonaws.com"
          "${local.github}:sub" = coalesce(var.subject, "repo:${var.repository}:environment:${var.environment}")
        }
      }
    }]
  })
  depends_on = [aws_iam_openid_connect_provider.github]
}

# A new package, a version, the alias: what the pipeline does between two runs of Terraform, and no more.
resource "aws_iam_role_policy" "deployer" {
  name = "packages"
  role = aws_iam_role.deployer.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Function"
        Effect = "Allow"
        Action = [
          "lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:UpdateFunctionCode", "lambda:PublishVersion",
          "lambda:GetAlias", "lambda:UpdateAlias", "lambda:InvokeFunction",
        ]
        Resource = ["arn:${local.partition}:lambda:${var.region}:${local.account}:function:${var.name}-worker", "arn:${local.partition}:lambda:${var.region}:${local.account}:function:${var.name}-worker:*"]
      },
      {
        Sid      = "Alarms"
        Effect   = "Allow"
        Action   = ["cloudwatch:DescribeAlarms", "cloudwatch:GetMetricStatistics"]
        Resource = ["*"] # AWS offers no narrower resource for it.
      },
    ]
  })
}

output "backend" {
  description = "The block for the root module."
  value       = <<-HCL
    backend "s3" {
      bucket       = "${aws_s3_bucket.state.bucket}"
      key          = "bridge.tfstate"
      region       = "${var.region}"
      use_lockfile = true
      encrypt      = true
    }
  HCL
}

output "deployer" {
  description = "The role for the repository's variable AWS_ROLE."
  value       = aws_iam_role.deployer.arn
}
