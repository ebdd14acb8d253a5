"""The modules of deploy/, planned and applied by the real Terraform in a cloud that provider.py invents."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

import provider
import tables
from clouds import PROGRAM
from terraform import DEPLOY, ROOT, Module, find

MODULES = sorted(str(path.parent.relative_to(DEPLOY)) for path in DEPLOY.rglob("main.tf"))
SITE = {"configuration": "text"}
AWS = {"region": "us-east-1", "package": "lambda-arm64.zip", **SITE}
AZURE = {"region": "westeurope", **SITE}
ENDPOINTS = {"aws": {"host": "a.example.com", "region": "us-east-1"}, "azure": {"host": "b.example.com", "region": "eu-west-1"}}
EDGE = {"host": "app.example.com", "endpoints": ENDPOINTS}
CLOUDS = {"azure_subscription_id": "x", "azure_audience": "api://t/bridge", "package": "lambda-arm64.zip"}


EVERYTHING = {
    "tier": "Premium", "aws_network": {}, "azure_network": {"allowed_addresses": ["198.51.100.7"]}, "azure_apps": ["blue", "green"], "enable_inbound_federation": False,
    "aws_senders": ["arn:aws:iam::123456789012:role/app"], "azure_senders": {"app": "p"}, "azure_operators": {"team": "p"},
    "aws_alarm_actions": ["arn:aws:sns:us-east-1:123456789012:a"], "azure_alarm_actions": ["/g/a"],
}


def site(name: str, **other: object) -> dict:
    """A site as deploy/configuration takes it."""
    facts = {"retention_days": 14, "dead_letter_retention_days": 14, "message_bytes_max": 262144, "peer_time_max_seconds": 10, "receives_max": None}
    return {"site": name, "keys": {"table": "t"}, **facts, **other}


def sites(**other: object) -> dict:
    return {"sites": [site("aws:us-east-1", receives_max=1000), site("azure:westeurope", **other)]}


# Values that go together: each plans.
SUBJECT = "repo:o@1/r@2:environment:production"
DIGEST = "registry.example.com/bridge@sha256:" + "0" * 64
RIGHT = {
    "aws/examples/ecs": [{"image": DIGEST, "configuration": "text", "subnet_ids": ["a", "b"], "vpc_id": "v", "architecture": "X86_64"}],
    "azure/examples/container-apps": [{"subscription_id": "x", "image": DIGEST, "configuration": "text"}],
    "aws": [
        AWS,
        AWS | {"network": {}, "key_id": "arn:aws:kms:us-east-1:123456789012:key/a"},
        AWS | {"network": {"nat": False}, "timeout_seconds": 120, "batch_size": 1000, "batching_window_seconds": 5, "memory_mb": 1024},
        {"region": "us-east-1", "host": "container"},
        AWS | {"outbound_audience": "null", "trusted_peers": {"west": {"issuer": "https://sts.windows.net/t/", "subject": "s"}}, "inbound_audience": "api://t/bridge"},
    ],
    "azure": [
        AZURE,
        AZURE | {"tier": "Premium", "network": {"allowed_addresses": ["198.51.100.7"]}, "key_id": "https://v.vault.azure.net/keys/k", "key_identity_id": "i"},
        AZURE | {"tier": "Premium", "message_bytes_max": 4194304, "throughput_max": 4000, "read_regions": ["northeurope"], "always_ready": 1},
        AZURE | {"apps": ["blue", "green"], "counting": False, "operators": {"team": "p"}, "senders": {"app": "p"}},
        {"region": "westeurope", "host": "container", "container_trust": {"aks": {"issuer": "https://oidc.example.com/", "subject": "system:serviceaccount:bridge:worker"}}},
    ],
    "configuration": [sites()],
    "edge/aws": [EDGE | {"zone_id": "z"}, EDGE | {"zone_id": "z", "routing": "latency", "cdn": True, "certificate_arn": "c"}],
    "edge/azure": [EDGE | {"region": "westeurope", "subscription_id": "x"}, EDGE | {"region": "westeurope", "subscription_id": "x", "routing": "proxy"}],
    "edge/cloudflare": [EDGE | {"zone_id": "z", "account_id": "a"}],
    "state/aws": [{"region": "us-east-1", "repository": "o/r"}, {"region": "us-east-1", "repository": "o/r", "subject": SUBJECT}],
    "state/azure": [{"subscription_id": "x", "region": "westeurope", "repository": "o/r", "site_resource_group_id": "/g", "subject": SUBJECT}],
    "two-clouds": [CLOUDS, CLOUDS | EVERYTHING, CLOUDS | {"enable_outbound_federation": False, "aws_issuer": "https://x.example.com", "protected": False}],
}

# Values that do not: each fails the plan, with this sentence.
WRONG = [
    ("aws", AWS | {"visibility_timeout_seconds": 179}, "visibility_timeout_seconds must be at least 6 x timeout_seconds"),
    ("aws", AWS | {"timeout_seconds": 900, "visibility_timeout_seconds": 50000}, "visibility_timeout_seconds must be at most 43200"),
    ("aws", AWS | {"timeout_seconds": 12}, "timeout_seconds must be at least 5 more than peer_time_max_seconds"),
    ("aws", AWS | {"receives_max": 40}, "receives_max must be 600 to 1000"),
    ("aws", AWS | {"retention_days": 4}, "retention_days must be 7 to 14"),
    ("aws", AWS | {"batch_size": 100}, "batching_window_seconds must be at least 1"),
    ("aws", AWS | {"architecture": "x86_64"}, "package is for another architecture"),
    ("aws", {"region": "us-east-1", **SITE}, "package is missing: run ./just package"),
    ("aws", {"region": "us-east-1", "package": "lambda-arm64.zip"}, "configuration is missing"),
    ("aws", AWS | {"configuration": "x" * 4000}, "Lambda takes 4 KB of environment"),
    ("aws", AWS | {"enable_outbound_federation": False}, "outbound_issuer is missing"),
    ("aws", AWS | {"trusted_peers": {"a": {"issuer": "https://i/", "subject": "*"}}, "inbound_audience": "a"}, "each subject must be exact"),
    ("aws", AWS | {"trusted_peers": {"a": {"issuer": "https://i/", "subject": "s"}}}, "inbound_audience is missing"),
    ("aws", AWS | {"network": {"zones": 1}}, "network.zones must be 2 or 3"),
    ("azure", AZURE | {"tier": "Basic"}, "tier must be Standard or Premium"),
    ("azure", AZURE | {"message_bytes_max": 1048576}, "message_bytes_max must be 262144 in the Standard tier"),
    ("azure", AZURE | {"tier": "Premium", "message_bytes_max": 262144}, "1048576 to 104857600 in Premium"),
    ("azure", AZURE | {"network": {}}, "network needs tier Premium"),
    ("azure", AZURE | {"key_id": "k", "key_identity_id": "i"}, "key_id needs tier Premium"),
    ("azure", AZURE | {"tier": "Premium", "key_id": "https://v.vault.azure.net/keys/k/0123", "key_identity_id": "i"}, "without a version"),
    ("azure", AZURE | {"apps": ["blue-green"]}, "apps must have names of 1 to 8"),
    ("azure", AZURE | {"read_regions": ["westeurope"], "throughput_max": 1000}, "the one write region"),
    ("azure", AZURE | {"read_regions": ["northeurope"]}, "a serverless account has one region"),
    ("azure", AZURE | {"memory_mb": 256}, "memory_mb must be 512, 2048 or 4096"),
    ("azure", AZURE | {"lease_seconds": 301}, "lease_seconds must be 5 to 300"),
    ("azure", {"region": "westeurope"}, "configuration is missing"),
    ("configuration", sites() | {"tombstone_life_days": 57}, "Set it to at least 58"),
    ("configuration", sites() | {"tombstone_life_days": 50}, "an event can be on its way for 42 days"),
    ("configuration", sites(retention_days=30), "Set it to at least 74"),
    ("configuration", sites(retention_days=7) | {"store_wait_max_hours": 160}, "It must be at least 12 hours less"),
    ("configuration", sites() | {"attempts_max": 1000}, "attempts_max is 1000"),
    ("configuration", sites() | {"peer_time_max_seconds": 20}, "Set it to the same at every site"),
    ("configuration", {"sites": [site("aws:us-east-1"), site("aws:us-east-1")]}, "cannot be told apart"),
    ("configuration", sites() | {"worker": {"attempts_max": "3"}}, "these have variables"),
    ("azure/examples/container-apps", {"subscription_id": "x", "image": "bridge:latest", "configuration": "text"}, "image must end in @sha256:DIGEST"),
    ("edge/aws", EDGE | {"zone_id": "z", "cdn": True}, "cdn needs certificate_arn"),
    ("edge/aws", EDGE | {"zone_id": "z", "endpoints": {"aws": ENDPOINTS["aws"]}}, "endpoints needs two entries or more"),
    ("state/aws", {"region": "us-east-1", "repository": "*/*"}, "without a wildcard"),
    ("state/aws", {"region": "us-east-1", "repository": "o/r", "subject": "repo:o@1/*:environment:production"}, "without a wildcard"),
]

# Modules for a root of yours: they take its providers.
SITES = ("aws", "azure", "configuration")
# Resource providers that an empty subscription has not registered.
NAMESPACES = {
    "servicebus_": "Microsoft.ServiceBus", "cosmosdb_": "Microsoft.DocumentDB", "application_insights": "microsoft.insights", "monitor_": "microsoft.insights",
    "function_app_": "Microsoft.Web", "log_analytics_": "Microsoft.OperationalInsights", "container_app": "Microsoft.App", "cdn_": "Microsoft.Cdn",
}

# What a slip of the pen looks like: file, what stands there, what is written instead, what Terraform answers.
SLIPS = [
    ("aws/queues.tf", "message_retention_seconds ", "message_retention_second ", 'An argument named "message_retention_second" is not expected here'),
    ("aws/store.tf", '    name = "pk"\n', "", 'The argument "name" is required, but no definition was found'),
    ("aws/store.tf", "  ttl {", "  time_to_live {", 'Blocks of type "time_to_live" are not expected here'),
    ("aws/function.tf", "  scaling_config {", "  scaling_config = {", 'An argument named "scaling_config" is not expected here'),
    ("aws/queues.tf", "aws_sqs_queue.redrive.arn\n", "aws_sqs_queue.redrive.aarn\n", 'This object has no argument, nested block, or exported attribute named "aarn"'),
    ("azure/store.tf", "partition_key_version ", "partition_key_versions ", 'An argument named "partition_key_versions" is not expected here'),
    ("azure/queues.tf", "namespace_id ", "namespace ", 'The argument "namespace_id" is required, but no definition was found'),
    ("edge/cloudflare/main.tf", "steering_policy", "steering_policies", 'An argument named "steering_policies" is not expected here'),
]


class Terraform(unittest.TestCase):
    """Everything that plans."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.providers = cls.enterClassContext(provider.serving())

    def test_the_code_is_formatted(self) -> None:
        done = subprocess.run([find(), "fmt", "-check", "-recursive", "-diff", DEPLOY], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_module_is_valid_and_has_values_to_plan(self) -> None:
        self.assertEqual(set(MODULES), set(RIGHT))
        for name, values in RIGHT.items():
            with Module(name, self.providers) as module:
                module.run("validate").check()
                for value in values:
                    with self.subTest(name, **value):
                        module.plan(value).check()

    def test_a_wrong_set_of_values_fails_the_plan_with_its_sentence(self) -> None:
        for name in dict.fromkeys(name for name, *_ in WRONG):
            with Module(name, self.providers) as module:
                for value, sentence in [(value, sentence) for other, value, sentence in WRONG if other == name]:
                    with self.subTest(name, sentence=sentence):
                        result = module.plan(value)
                        self.assertFalse(result.good)
                        self.assertIn(sentence, result.said)

    def test_a_slip_of_the_pen_is_noticed(self) -> None:
        for file, right, wrong, answer in SLIPS:
            with self.subTest(file, wrong=wrong), tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / "deploy"
                shutil.copytree(DEPLOY, copy)
                text = (copy / file).read_text()
                self.assertIn(right, text)
                (copy / file).write_text(text.replace(right, wrong, 1))
                with Module(str(Path(file).parent), self.providers, copy) as module:
                    result = module.run("validate")
                self.assertFalse(result.good)
                self.assertIn(answer, result.said)

    def test_the_tables_of_inputs_and_outputs_are_those_of_the_code(self) -> None:
        for name in MODULES:
            with self.subTest(name):
                self.assertEqual((DEPLOY / name / "README.md").read_text(), tables.page(DEPLOY / name), "run: python3 tests/deploy/tables.py")


class Roots(unittest.TestCase):
    """Modules that the guide runs by themselves, and two sites in other shapes, applied."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.providers = cls.enterClassContext(provider.serving())

    def applied(self, name: str, values: dict) -> tuple[dict, dict]:
        """The resources and the outputs of a module."""
        with Module(name, self.providers) as module:
            module.apply(values)
            return module.resources(), module.outputs()

    def test_a_root_has_its_providers_and_a_site_has_none(self) -> None:
        for name in MODULES:
            with self.subTest(name):
                code = "\n".join(file.read_text() for file in (DEPLOY / name).glob("*.tf"))
                for kind in ("aws", "azurerm"):
                    wanted = f'source  = "hashicorp/{kind}"' in code and name not in SITES
                    self.assertEqual(f'provider "{kind}" {{' in code, wanted)

    def test_what_a_root_makes_in_azure_is_registered(self) -> None:
        for name in MODULES:
            code = "\n".join(file.read_text() for file in (DEPLOY / name).glob("*.tf"))
            if name in SITES or 'provider "azurerm"' not in code:
                continue
            # Resources of the module, and of the site that it has.
            made = code + "\n".join(file.read_text() for file in (DEPLOY / "azure").glob("*.tf") if re.search(r'source += "\.\./(\.\.|azure)"', code))
            for word, namespace in NAMESPACES.items():
                with self.subTest(name, word=word):
                    self.assertLessEqual(f'resource "azurerm_{word}' in made, f'"{namespace}"' in code)

    def test_the_pipeline_is_trusted_by_its_exact_subject(self) -> None:
        for subject, expected in ((None, "repo:o/r:environment:production"), (SUBJECT, SUBJECT)):
            given = {} if subject is None else {"subject": subject}
            aws, _ = self.applied("state/aws", {"region": "us-east-1", "repository": "o/r", **given})
            self.assertIn(expected, aws["aws_iam_role.deployer"]["assume_role_policy"])
            azure, _ = self.applied("state/azure", {"subscription_id": "x", "region": "westeurope", "repository": "o/r", **given})
            self.assertEqual(azure["azurerm_federated_identity_credential.deployer"]["subject"], expected)

    def test_a_name_of_digits_stays_a_text(self) -> None:
        values = sites() | {"keys": {"azure:westeurope": {"container": "2026"}}, "worker": {"metrics_listen": "9464", "concurrent_writes": "8"}}
        _, outputs = self.applied("configuration", values)
        read = tomllib.loads(outputs["text"])
        self.assertEqual(read["sites"]["azure:westeurope"]["container"], "2026")
        self.assertEqual((read["worker"]["metrics_listen"], read["worker"]["concurrent_writes"]), ("9464", 8))

    def test_the_keys_that_are_numbers_are_those_of_the_program(self) -> None:
        listed = json.loads(subprocess.run([PROGRAM, "config", "--explain", "--json"], capture_output=True, text=True, check=True).stdout)
        code = (DEPLOY / "configuration/main.tf").read_text()
        named = {local: set(json.loads(re.search(rf"{local} += (\[.*\])", code).group(1))) for local in ("site_numbers", "worker_texts")}
        numbers = {(key["section"] == "worker", key["name"]) for key in listed if re.match("a (whole )?number", key["allowed"])}
        self.assertEqual({name for worker, name in numbers if not worker}, named["site_numbers"])
        self.assertEqual({key["name"] for key in listed if key["section"] == "worker"} - {name for worker, name in numbers if worker}, named["worker_texts"])

    def test_the_program_takes_the_shortest_tombstones_that_apply(self) -> None:
        keys = {
            "aws:us-east-1": {"queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/a", "dead_letter_queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/b", "table": "bridge-records"},
            "azure:westeurope": {"service_bus_namespace": "n.servicebus.windows.net", "queue": "a", "dead_letter_queue": "b", "cosmos_endpoint": "https://c.documents.azure.com/", "database": "d", "container": "1"},
        }
        values = sites(keys={}) | {"tombstone_life_days": 58, "keys": keys}
        _, outputs = self.applied("configuration", values)
        done = subprocess.run([PROGRAM, "config", "--config", outputs["text"], "--site", "aws:us-east-1"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_container_has_an_alarm_for_silence_too(self) -> None:
        aws, _ = self.applied("aws", {"region": "us-east-1", "host": "container"})
        alarm = aws["aws_cloudwatch_metric_alarm.silence"]
        self.assertEqual((alarm["namespace"], alarm["treat_missing_data"], alarm["comparison_operator"]), ("AWS/SQS", "breaching", "LessThanThreshold"))
        azure, _ = self.applied("azure", {"region": "westeurope", "host": "container"})
        self.assertEqual(azure["azurerm_monitor_metric_alert.silence"]["criteria"][0]["operator"], "LessThan")

    def test_a_closed_namespace_has_no_rules_without_addresses(self) -> None:
        azure, outputs = self.applied("azure", AZURE | {"tier": "Premium", "network": {}, "lease_seconds": 90})
        namespace = azure["azurerm_servicebus_namespace.this"]
        self.assertEqual((namespace["network_rule_set"], namespace["public_network_access_enabled"]), ([], False))
        self.assertEqual(len(outputs["egress_addresses"]), 1)
        self.assertEqual(azure["azurerm_servicebus_queue.events"]["lock_duration"], "PT1M30S")
        azure, _ = self.applied("azure", AZURE | {"tier": "Premium", "network": {"allowed_addresses": ["198.51.100.7"]}, "lease_seconds": 60})
        self.assertEqual(azure["azurerm_servicebus_namespace.this"]["network_rule_set"][0]["ip_rules"], ["198.51.100.7"])
        self.assertEqual(azure["azurerm_servicebus_queue.events"]["lock_duration"], "PT1M")

    def test_both_clouds_with_everything(self) -> None:
        made, outputs = self.applied("two-clouds", CLOUDS | EVERYTHING)
        with self.subTest("the namespace lets the AWS site's NAT gateways in"):
            rules = made["module.azure.azurerm_servicebus_namespace.this"]["network_rule_set"][0]["ip_rules"]
            self.assertEqual(rules, ["198.51.100.7", made["module.aws.aws_eip.nat"]["public_ip"]])
        with self.subTest("each app has its own alert for silence"):
            for app in ("blue", "green"):
                alert = made[f"module.azure.azurerm_monitor_scheduled_query_rules_alert_v2.function[silence-{app}]"]
                self.assertIn(f"-{app}'", alert["criteria"][0]["query"])
                self.assertTrue(alert["auto_mitigation_enabled"])
        with self.subTest("a provider of the account that is there already"):
            self.assertFalse([name for name in made if "openid_connect_provider" in name])
            trust = json.loads(made["module.aws.aws_iam_role.peer"]["assume_role_policy"])["Statement"][0]
            self.assertRegex(trust["Principal"]["Federated"], r"^arn:aws:iam::123456789012:oidc-provider/sts\.windows\.net/[0-9a-f-]+/$")
        with self.subTest("senders, operators, actions"):
            self.assertIn("role/app", made["module.aws.aws_sqs_queue_policy.tls_only[events]"]["policy"])
            self.assertIn("module.azure.azurerm_role_assignment.operator_queue[team-events]", made)
            self.assertIn("module.azure.azurerm_role_assignment.sender[app]", made)
            self.assertTrue(made["module.aws.aws_cloudwatch_metric_alarm.waiting"]["alarm_actions"])
            self.assertTrue(made["module.azure.azurerm_monitor_metric_alert.queue[waiting]"]["action"])
        self.assertTrue(outputs["azure_resource_group_id"])


class TwoClouds(unittest.TestCase):
    """The root module of the guide, applied."""

    @classmethod
    def setUpClass(cls) -> None:
        providers = cls.enterClassContext(provider.serving())
        module = cls.enterClassContext(Module("two-clouds", providers))
        module.apply(CLOUDS)
        cls.outputs, cls.resources = module.outputs(), module.resources()

    def resource(self, name: str) -> dict:
        return self.resources[f"module.{name}"]

    def test_the_program_takes_the_configuration(self) -> None:
        """Every key, every address and every rule between them, by the reader of the binary itself."""
        program = os.environ.get("BRIDGE_PROGRAM", str(ROOT / "target/debug/bridge"))
        for name in ("aws:us-east-1", "azure:westeurope"):
            done = subprocess.run([program, "config", "--config", self.outputs["configuration"], "--site", name], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_functions_get_site_and_configuration(self) -> None:
        text = self.outputs["configuration"]
        variables = self.resource("aws.aws_lambda_function.worker")["environment"][0]["variables"]
        self.assertEqual(variables, {"BRIDGE_SITE": "aws:us-east-1", "BRIDGE_CONFIG": text})
        settings = self.resource("azure.azurerm_function_app_flex_consumption.worker[blue]")["app_settings"]
        self.assertEqual((settings["BRIDGE_SITE"], settings["BRIDGE_CONFIG"]), ("azure:westeurope", text))
        # The trigger of the package (deploy/azure/function/Replicate) reads these two.
        trigger = json.loads((DEPLOY / "azure/function/Replicate/function.json").read_text())["bindings"][0]
        self.assertEqual(settings[trigger["queueName"].strip("%")], "bridge-events")
        self.assertIn(settings[f"{trigger['connection']}__fullyQualifiedNamespace"], text)

    def test_nothing_that_doctor_calls_bad_can_be_made(self) -> None:
        """docs/doctor.md, check by check, against what Terraform makes."""
        day = 86400
        events, dead = (self.resource(f"aws.aws_sqs_queue.{name}") for name in ("events", "dead"))
        with self.subTest("queue.kind, dead-letter-queue.kind: SQS"):
            for queue in (events, dead):
                self.assertFalse(queue["fifo_queue"])
        with self.subTest("queue.redrive: SQS"):
            self.assertGreaterEqual(json.loads(events["redrive_policy"])["maxReceiveCount"], 600)
            self.assertIsNone(dead["redrive_policy"])
        with self.subTest("queue.retention, queue.store-wait: SQS"):
            for queue in (events, dead):
                self.assertEqual(queue["message_retention_seconds"], 14 * day)
        with self.subTest("the visibility timeout is six times the function's"):
            timeout = self.resource("aws.aws_lambda_function.worker")["timeout"]
            self.assertGreaterEqual(events["visibility_timeout_seconds"], 6 * timeout)
        with self.subTest("partial batches"):
            mapping = self.resource("aws.aws_lambda_event_source_mapping.events")
            self.assertEqual(mapping["function_response_types"], ["ReportBatchItemFailures"])
        with self.subTest("store: DynamoDB"):
            table = self.resource("aws.aws_dynamodb_table.records")
            self.assertEqual((table["hash_key"], table["range_key"], table["attribute"]), ("pk", None, [{"name": "pk", "type": "S"}]))
            self.assertEqual((table["ttl"][0]["attribute_name"], table["ttl"][0]["enabled"]), ("expires_at", True))
            self.assertEqual((table["replica"], table["global_secondary_index"]), ([], []))
        queues = [self.resource(f"azure.azurerm_servicebus_queue.{name}") for name in ("events", "dead")]
        with self.subTest("queue.kind, queue.idle, queue.duplicates, queue.lease: Service Bus"):
            for queue in queues:
                self.assertFalse(queue["requires_session"] or queue["requires_duplicate_detection"])
                self.assertEqual((queue["forward_to"], queue["auto_delete_on_idle"], queue["lock_duration"]), (None, None, "PT30S"))
                self.assertEqual(queue["default_message_ttl"], "P14D")
                self.assertGreaterEqual(queue["max_delivery_count"], 3)
        with self.subTest("store: Cosmos DB"):
            container = self.resource("azure.azurerm_cosmosdb_sql_container.records")
            self.assertEqual((container["partition_key_paths"], container["partition_key_version"], container["default_ttl"]), (["/pk"], 2, -1))
            account = self.resource("azure.azurerm_cosmosdb_account.this")
            self.assertFalse(account["multiple_write_locations_enabled"])
            self.assertEqual(len(account["geo_location"]), 1)
        with self.subTest("the heartbeat comes"):
            target = self.resource("aws.aws_scheduler_schedule.heartbeat")["target"][0]
            self.assertEqual((target["arn"], json.loads(target["input"])), (self.resource("aws.aws_lambda_alias.live")["arn"], {"bridge": "heartbeat"}))

    def test_no_resource_takes_a_key_or_a_password(self) -> None:
        self.assertFalse(self.resource("azure.azurerm_servicebus_namespace.this")["local_auth_enabled"])
        self.assertFalse(self.resource("azure.azurerm_cosmosdb_account.this")["local_authentication_enabled"])
        self.assertFalse(self.resource("azure.azurerm_storage_account.packages")["shared_access_key_enabled"])
        settings = json.dumps(self.resource("azure.azurerm_function_app_flex_consumption.worker[blue]")["app_settings"])
        self.assertNotRegex(settings, r"(?i)sharedaccesskey|accountkey|password")
        code = "\n".join(path.read_text() for path in DEPLOY.rglob("*.tf"))
        self.assertNotRegex(code, r"primary_(access_)?key|connection_string\s*=.*(primary|secondary)|azurerm_servicebus_\w*authorization_rule|aws_iam_access_key")

    def test_each_cloud_trusts_the_worker_of_the_other_and_nobody_else(self) -> None:
        trust = json.loads(self.resource("aws.aws_iam_role.peer")["assume_role_policy"])["Statement"]
        worker = self.resource("azure.azurerm_user_assigned_identity.worker")["principal_id"]
        self.assertEqual(len(trust), 1)
        conditions = trust[0]["Condition"]["StringEquals"]
        self.assertEqual([value for key, value in conditions.items() if key.endswith(":sub")], [worker])
        self.assertEqual(len(conditions), 2)
        credential = self.resource("azure.azurerm_federated_identity_credential.peer[aws]")
        self.assertEqual(credential["subject"], self.resource("aws.aws_iam_role.worker")["arn"])
        self.assertEqual(credential["issuer"], self.resource("aws.aws_iam_outbound_web_identity_federation.this")["issuer_identifier"])

    def test_what_waits_for_a_store_rings(self) -> None:
        waiting = self.resource("aws.aws_cloudwatch_metric_alarm.waiting")
        counted = {query["metric"][0]["metric_name"] for query in waiting["metric_query"] if query["metric"]}
        self.assertEqual(counted, {"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"})
        alert = self.resource("azure.azurerm_monitor_metric_alert.queue[waiting]")
        self.assertEqual(alert["criteria"][0]["metric_name"], "ScheduledMessages")
        letters = self.resource("aws.aws_cloudwatch_metric_alarm.queue[dead-letters]")
        self.assertEqual((letters["evaluation_periods"], letters["datapoints_to_alarm"]), (60, 45))

    def test_what_is_easily_lost(self) -> None:
        with self.subTest("the redrive queue keeps the most that SQS has, as expiry counts from the first send"):
            self.assertEqual(self.resource("aws.aws_sqs_queue.redrive")["message_retention_seconds"], 14 * 86400)
        with self.subTest("locks on the data, not on the group with its rights"):
            scopes = {self.resource(f"azure.azurerm_management_lock.this[{name}]")["scope"] for name in ("queues", "store")}
            self.assertEqual(scopes, {self.resource(f"azure.azurerm_{name}.this")["id"] for name in ("servicebus_namespace", "cosmosdb_account")})
        with self.subTest("names that are unique over all regions"):
            for kind, name in (("role", "worker"), ("role", "peer"), ("policy", "operator"), ("role", "schedule")):
                self.assertIn("us-east-1", self.resource(f"aws.aws_iam_{kind}.{name}")["name"])
        with self.subTest("no package over plain http"):
            self.assertIn("aws:SecureTransport", self.resource("aws.aws_s3_bucket_policy.packages")["policy"])
        with self.subTest("the host's storage is its identity's"):
            self.assertEqual(self.resource("azure.azurerm_function_app_flex_consumption.worker[blue]")["app_settings"]["AzureWebJobsStorage"], "")
        with self.subTest("requests and exceptions are not sampled: alerts count them"):
            host = json.loads((DEPLOY / "azure/function/host.json").read_text())
            self.assertEqual(host["logging"]["applicationInsights"]["samplingSettings"]["excludedTypes"], "Request;Exception")

    def test_alarms_name_runbooks_that_exist(self) -> None:
        text = json.dumps(self.resources)
        pages = set(re.findall(r"runbooks/[a-z-]+\.md", text))
        self.assertGreaterEqual(len(pages), 3)
        for page in pages:
            self.assertTrue((ROOT / page).exists(), page)


if __name__ == "__main__":
    unittest.main()
