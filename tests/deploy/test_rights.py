"""The rights that Terraform grants are those that the binary uses: no fewer, no more.

localcloud counts every operation of every service. Workers and commands run against it, each alone, and what they called is
compared with the roles of deploy/aws and deploy/azure.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import unittest
from collections.abc import Iterator

import provider
from clouds import AWS, AZURE, SECONDS_MAX, Clouds, wait
from terraform import ROOT, Module

# The right that each operation needs. SQS has no rights for batches of their own.
ITEMS = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers"
NEEDS = {
    "sqs": {
        "SendMessage": "sqs:SendMessage", "SendMessageBatch": "sqs:SendMessage",
        "ReceiveMessage": "sqs:ReceiveMessage",
        "DeleteMessage": "sqs:DeleteMessage", "DeleteMessageBatch": "sqs:DeleteMessage",
        "ChangeMessageVisibility": "sqs:ChangeMessageVisibility", "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
        "GetQueueAttributes": "sqs:GetQueueAttributes",
    },
    "dynamodb": {name: f"dynamodb:{name}" for name in ("GetItem", "PutItem", "Scan", "DescribeTable", "DescribeTimeToLive")},
    "service-bus": {
        **dict.fromkeys(("receive", "settle", "renew", "peek"), "Listen"),
        **dict.fromkeys(("send", "rest-send", "schedule"), "Send"),
        "rest-manage": "Manage",
    },
    "cosmos": {
        "read-item": f"{ITEMS}/items/read", "create-item": f"{ITEMS}/items/create", "replace-item": f"{ITEMS}/items/replace",
        "query-items": f"{ITEMS}/executeQuery",
        **dict.fromkeys(("read-account", "read-container", "read-partition-ranges"), "Microsoft.DocumentDB/databaseAccounts/readMetadata"),
    },
}
CLOUDS = {"sqs": "aws", "dynamodb": "aws", "service-bus": "azure", "cosmos": "azure"}
# What each role of Service Bus holds.
ROLES = {
    "Azure Service Bus Data Sender": {"Send"},
    "Azure Service Bus Data Receiver": {"Listen"},
    "Azure Service Bus Data Owner": {"Send", "Listen", "Manage"},
}
VALUES = {"azure_subscription_id": "x", "azure_audience": "api://t/bridge", "package": "lambda-arm64.zip"}
EVENTS = 40
COMMANDS = [
    ["get", "order-1"], ["lag"], ["verify"], ["verify", "--repair"],
    # The second one finds the tombstone of the first.
    ["doctor"], ["doctor"], ["backfill", "--from", AWS, "--to", AZURE, "--yes"],
    ["backfill", "--from", AZURE, "--to", AWS, "--yes"],
    *(["replay", "--from", f"{site}/dlq", "--to", "owed", "--dry-run"] for site in (AWS, AZURE)),
    *(["replay", "--from", f"{site}/dlq", "--to", "owed", "--yes"] for site in (AWS, AZURE)),
    ["replay", "--from", f"{AWS}/queue", "--to", f"{AZURE}/store", "--yes"], ["replay", "--from", f"{AZURE}/queue", "--to", f"{AWS}/store", "--yes"],
]


def taken(clouds: Clouds) -> dict[str, set[str]]:
    """The rights that were needed since the last time, by cloud."""
    rights: dict[str, set[str]] = {"aws": set(), "azure": set()}
    for entry in clouds.admin("DELETE", "/requests")["requests"]:
        if entry["operation"] in ("unknown", "health", "connect", "attach") or entry["status"] == "401":
            continue  # No right is asked for: what asks a service for its clock is not signed.
        rights[CLOUDS[entry["service"]]].add(NEEDS[entry["service"]][entry["operation"]])
    return rights


def _named(table: str, right: str, column: int) -> set[str]:
    """The rights of a table whose column is not empty."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")]
    return {found for row in rows if row[column] for found in re.findall(right, row[0])}


class Rights(unittest.TestCase):
    """Of workers, of peers' workers, and of operators."""

    @classmethod
    def setUpClass(cls) -> None:
        module = cls.enterClassContext(Module("two-clouds", cls.enterClassContext(provider.serving())))
        module.apply(VALUES)
        cls.resources = module.resources()
        cls.clouds = Clouds()
        cls.addClassCleanup(cls.clouds.close)

    def granted(self, name: str) -> set[str]:
        """The rights of a policy of AWS on queues and table."""
        statements = json.loads(self.resources[f"module.aws.{name}"]["policy"])["Statement"]
        actions = {action for statement in statements for action in statement["Action"]}
        return {action for action in actions if action.startswith(("sqs:", "dynamodb:"))}

    def roles(self, name: str) -> set[str]:
        """The rights of all assignments of this name in Service Bus."""
        found = [one["role_definition_name"] for key, one in self.resources.items() if key.startswith(f"module.azure.azurerm_role_assignment.{name}")]
        self.assertTrue(found, name)
        return set().union(*(ROLES[role] for role in found))

    def store_actions(self, name: str) -> set[str]:
        return set(self.resources[f"module.azure.azurerm_cosmosdb_sql_role_definition.{name}"]["permissions"][0]["data_actions"])

    @contextlib.contextmanager
    def worker_with_letters(self, site: str, peer: str, store: str) -> Iterator[None]:
        """A worker alone whose store throttles for a moment and whose peer is away, so that it sets its events aside."""
        clouds = self.clouds
        clouds.admin("POST", "/faults", f"{peer}:*:dark")
        clouds.admin("POST", "/faults", f"{store}:*:throttle,count=10")
        clouds.publish(site, range(EVENTS))
        taken(clouds)
        worker = clouds.worker(site)
        try:
            # `bridge lag` counts here too, with rights that a worker needs itself; nothing reaches the peer.
            wait(lambda: clouds.letters(site) == EVENTS, f"{site}'s letters")
            yield
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(SECONDS_MAX)
            clouds.admin("DELETE", "/faults")

    def serve(self, site: str, peer: str, queue: str, store: str) -> dict[str, set[str]]:
        """The rights that a worker needs until its peer is back and has got what it was owed."""
        with self.worker_with_letters(site, peer, store):
            self.clouds.admin("DELETE", "/faults")
            wait(lambda: self.clouds.waiting(queue) == 0, f"{site}'s letters to leave")
        return taken(self.clouds)

    def test_a_worker_has_what_it_uses_and_its_peer_has_what_that_one_uses(self) -> None:
        used = self.serve(AWS, "azure", "sqs", "dynamodb")
        with self.subTest("worker of AWS"):
            self.assertEqual(used["aws"], self.granted("aws_iam_role_policy.worker"))
        with self.subTest("its right in Azure"):
            self.assertEqual(used["azure"], self.roles("peer"))
        used = self.serve(AZURE, "aws", "service-bus", "cosmos")
        with self.subTest("worker of Azure"):
            self.assertEqual({right for right in used["azure"] if "/" not in right}, self.roles("worker_queue"))
            self.assertEqual({right for right in used["azure"] if "/" in right}, self.store_actions("worker"))
        with self.subTest("its right in AWS"):
            self.assertEqual(used["aws"], self.granted("aws_iam_role_policy.peer"))

    def test_the_page_of_rights_names_them(self) -> None:
        tables = {cloud: text for cloud, text in zip(("aws", "azure"), (ROOT / "docs/rights.md").read_text().split("\n## A")[1:], strict=True)}
        for column, role in ((2, "aws_iam_role_policy.worker"), (3, "aws_iam_role_policy.peer"), (4, "aws_iam_policy.operator")):
            with self.subTest(role):
                self.assertEqual(_named(tables["aws"], r"`((?:sqs|dynamodb):\w+)`", column), self.granted(role))
        for column, role in ((2, "worker"), (4, "operator")):
            with self.subTest(role):
                named = _named(tables["azure"], r"`(?:databaseAccounts|containers)/([\w/]+)`", column)
                short = {action.removeprefix("Microsoft.DocumentDB/databaseAccounts/").split("containers/")[-1] for action in self.store_actions(role)}
                self.assertEqual(named, short)
        self.assertEqual(_named(tables["azure"], r"^(Send|Listen|Manage)", 3), self.roles("peer"))

    def test_operators_have_what_commands_use(self) -> None:
        clouds = self.clouds
        with self.worker_with_letters(AWS, "azure", "dynamodb"):
            pass
        for site in (AWS, AZURE):
            clouds.publish(site, range(100, 105))
        taken(clouds)
        for command in COMMANDS:
            done = clouds.bridge(*command)
            self.assertIn(done.returncode, (0, 2), f"{command}: {done.stdout}{done.stderr}")
        used = taken(clouds)
        with self.subTest("AWS"):
            self.assertEqual(used["aws"], self.granted("aws_iam_policy.operator"))
        with self.subTest("Azure"):
            self.assertEqual({right for right in used["azure"] if "/" in right}, self.store_actions("operator"))
            self.assertEqual({right for right in used["azure"] if "/" not in right}, ROLES["Azure Service Bus Data Owner"])


if __name__ == "__main__":
    unittest.main()
