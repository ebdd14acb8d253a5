#!/usr/bin/env python3
"""Tests of the players themselves, with functions that do wrong: no cloud, no bridge. `python test_hosts.py`."""

from __future__ import annotations

import base64
import json
import stat
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

from hosts import function_package, function_payload
from hosts.counts import Counts
from hosts.event_source_mapping import EVENT_BYTES_MAX, EventSourceMapping
from hosts.function_answer import Answer, Judged, judge
from hosts.function_package import BadPackage
from hosts.function_payload import NotText, Received, encode, many, one
from hosts.functions_host import FunctionsHost, Verdict
from hosts.lambda_runtime import Ended, Environment, Function, Outcome
from hosts.partial_batch import kept

HERE = Path(__file__).resolve().parent
NOON = datetime(2026, 11, 21, 12, 0, 1, 250_000, tzinfo=UTC)


def answered(body: Any) -> Outcome:
    return Outcome(Ended.ANSWER, body if isinstance(body, bytes) else json.dumps(body).encode())


class PartialBatches(unittest.TestCase):
    """Which messages stay: "Handling errors for an SQS event source in Lambda"."""

    ALL = frozenset({"a", "b", "c"})

    def kept(self, outcome: Outcome) -> set[str]:
        return kept(outcome, self.ALL)

    def test_complete_success(self) -> None:
        answers: list[Any] = [None, {}, {"batchItemFailures": None}, {"batchItemFailures": []}, {"other": 1}]
        for answer in answers:
            self.assertEqual(self.kept(answered(answer)), set(), answer)

    def test_partial_success(self) -> None:
        answer = {"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "c"}, {"itemIdentifier": "a"}]}
        self.assertEqual(self.kept(answered(answer)), {"a", "c"})

    def test_complete_failure(self) -> None:
        items: list[Any] = [{"itemIdentifier": wrong} for wrong in ("", None, "unknown", 1, ["a"])]
        items += [{"wrongKey": "a"}, {}, "a", None]
        for item in items:
            answer = {"batchItemFailures": [{"itemIdentifier": "b"}, item]}
            self.assertEqual(self.kept(answered(answer)), self.ALL, answer)

    def test_what_is_no_answer_at_all(self) -> None:
        for body in (b"", b"{", b'{"batchItemFailures":', b"[]", b'"done"', b"1", b'{"batchItemFailures":{}}'):
            self.assertEqual(self.kept(answered(body)), self.ALL, body)

    def test_errors_timeouts_and_exits(self) -> None:
        for how in (Ended.ERROR, Ended.TIMEOUT, Ended.EXIT):
            self.assertEqual(self.kept(Outcome(how, b"{}")), self.ALL)


class LambdaEnvironments(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        _script(folder / "bootstrap", HERE / "hosts/wrong_runtime.py")
        self.counts = Counts()
        self.environment = Environment(Function(folder, {"OWN": "1"}, timeout_seconds=1.0), self.counts)
        self.addCleanup(self.environment.close)

    def invoke(self, event: Any) -> Outcome:
        return self.environment.invoke(json.dumps(event).encode())

    def test_one_process_serves_and_is_frozen_in_between(self) -> None:
        first, second = (json.loads(self.invoke("context").body) for _ in range(2))
        self.assertEqual(first["pid"], second["pid"])
        self.assertTrue(0 < second["left_ms"] <= 1000, "the deadline is the function's timeout away")
        self.assertEqual(first["environment"]["OWN"], "1")
        self.assertNotIn("HOME", first["environment"], "only what the service gives")
        _until(self, lambda: _state(first["pid"]) == "T")
        self.assertEqual(self.invoke({"answer": "{}"}), answered({}))
        self.assertEqual((self.counts["starts"], self.counts["invocations"], self.counts["failures"]), (1, 3, 0))

    def test_an_answer_in_chunks(self) -> None:
        self.assertEqual(
            self.invoke({"chunked": ['{"batch', 'ItemFailures":[]}']}), answered(b'{"batchItemFailures":[]}')
        )

    def test_an_error_keeps_the_process(self) -> None:
        before = json.loads(self.invoke("context").body)["pid"]
        self.assertEqual(self.invoke({"raise": "no"}), Outcome(Ended.ERROR, b"no"))
        self.assertEqual(self.environment.pid, before)

    def test_a_timeout_kills_it(self) -> None:
        before = json.loads(self.invoke("context").body)["pid"]
        begin = time.monotonic()
        self.assertEqual(self.invoke({"sleep": 30}).how, Ended.TIMEOUT)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertFalse(Path(f"/proc/{before}").exists())
        self.assertNotEqual(json.loads(self.invoke("context").body)["pid"], before)
        self.assertEqual((self.counts["timeout"], self.counts["restarts"], self.counts["starts"]), (1, 1, 2))

    def test_an_exit_fails_the_invocation_and_is_followed_by_another_start(self) -> None:
        for code in (0, 1):
            self.assertEqual(self.invoke({"exit": code}).how, Ended.EXIT)
        self.assertEqual(self.invoke({"answer": "null"}), answered(None))
        self.assertEqual((self.counts["exit"], self.counts["starts"]), (2, 3))

    def test_a_process_that_never_asks_for_work(self) -> None:
        (self.folder / "bootstrap").write_text("#!/bin/sh\nexec sleep 60\n")
        with patch("hosts.lambda_runtime.INIT_SECONDS_MAX", 0.3):
            self.assertEqual(self.invoke("context").how, Ended.TIMEOUT)
        self.assertIsNone(self.environment.pid)

    def test_a_process_that_says_why_it_does_not_start(self) -> None:
        body = '{"errorType":"Own","errorMessage":"no"}'
        post = f"connection.request('POST', '/2018-06-01/runtime/init/error', {body!r})"
        program = f"import http.client, os\nconnection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n{post}"
        (self.folder / "bootstrap").write_text(f"#!{sys.executable}\n{program}\nprint(connection.getresponse().status)\n")
        self.assertEqual(self.invoke("context"), Outcome(Ended.INIT, body.encode()))
        self.assertEqual(self.environment.lines, ["202"])
        self.assertIsNone(self.environment.pid)
        self.assertEqual((self.counts["init"], self.counts["restarts"]), (1, 1))

    def test_answers_to_strange_invocations_are_refused(self) -> None:
        self.assertEqual(self.invoke("strange"), answered({}))
        pid = self.environment.pid
        self.assertEqual(self.invoke({"answer": "1"}), answered(1))
        self.assertEqual(self.environment.pid, pid)
        sandbox = self.environment._sandbox
        assert sandbox is not None
        _until(self, lambda: list(sandbox.child.lines) == ["[400, 202, 400]"])


class EventSourceMappings(unittest.TestCase):
    SITE: Mapping[str, str] = {
        "access_key_id": "x",
        "secret_access_key": "x",
        "region": "us-east-1",
        "sqs_endpoint": "http://127.0.0.1:1",
        "queue_url": "http://127.0.0.1:1/0/q",
    }

    def setUp(self) -> None:
        session = self.enterContext(patch("hosts.event_source_mapping.boto3.Session"))
        self.sqs = session.return_value.client.return_value
        self.sqs.get_queue_attributes.return_value = {"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:0:q"}}
        self.counts = Counts()
        self.mapping = EventSourceMapping(self.SITE, 5, self.counts)

    @staticmethod
    def message(name: str, body: str = "{}") -> dict[str, Any]:
        return {"MessageId": name, "ReceiptHandle": f"receipt of {name}", "Body": body, "MD5OfBody": "0"}

    def test_the_event_is_as_the_guide_shows_it(self) -> None:
        message = self.message("059f36b4", "Test message, größer.") | {
            "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
            "MessageAttributes": {
                "text": {"StringValue": "x", "DataType": "String"},
                "raw": {"BinaryValue": b"\0\1", "DataType": "Binary.gif"},
            },
            "MD5OfMessageAttributes": "1",
        }
        listless: dict[str, list[str]] = {"stringListValues": [], "binaryListValues": []}
        expected = {
            "messageId": "059f36b4",
            "receiptHandle": "receipt of 059f36b4",
            "body": "Test message, größer.",
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
            "messageAttributes": {
                "text": {"stringValue": "x", "dataType": "String", **listless},
                "raw": {"binaryValue": "AAE=", "dataType": "Binary.gif", **listless},
            },
            "md5OfMessageAttributes": "1",
            "md5OfBody": "0",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:0:q",
            "awsRegion": "us-east-1",
        }
        self.assertEqual(json.loads(self.mapping.event([message])), {"Records": [expected]})

    def test_it_deletes_exactly_what_is_not_kept(self) -> None:
        environment = MagicMock()
        environment.invoke.return_value = answered({"batchItemFailures": [{"itemIdentifier": "3"}]})
        self.sqs.delete_message_batch.return_value = {"Successful": [{}]}
        (mapped,) = self.mapping.work_off(environment, [self.message(str(number)) for number in range(12)])
        self.assertEqual(mapped.kept, {"3"})
        calls = self.sqs.delete_message_batch.call_args_list
        deleted = [entry["ReceiptHandle"] for call in calls for entry in call.kwargs["Entries"]]
        self.assertEqual(deleted, [f"receipt of {number}" for number in range(12) if number != 3])
        self.assertTrue(all(len(call.kwargs["Entries"]) <= 10 for call in calls))

    def test_a_failed_batch_is_left_to_its_visibility_timeout(self) -> None:
        environment = MagicMock()
        environment.invoke.return_value = Outcome(Ended.ERROR)
        (mapped,) = self.mapping.work_off(environment, [self.message("a"), self.message("b")])
        self.assertEqual(mapped.kept, {"a", "b"})
        self.sqs.delete_message_batch.assert_not_called()
        self.sqs.receive_message.return_value = {}
        self.mapping.receive()
        self.assertEqual(self.sqs.receive_message.call_args.kwargs["VisibilityTimeout"], 30, "six timeouts")

    def test_no_event_grows_beyond_what_an_invocation_takes(self) -> None:
        environment = MagicMock()
        environment.invoke.return_value = answered(None)
        self.sqs.delete_message_batch.return_value = {}
        messages = [self.message(str(number), "x" * 1024 * 1024) for number in range(10)]
        parts = list(self.mapping.work_off(environment, messages))
        self.assertEqual([len(part.messages) for part in parts], [5, 5])
        self.assertTrue(all(len(call.args[0]) <= EVENT_BYTES_MAX for call in environment.invoke.call_args_list))


class FunctionPayloads(unittest.TestCase):
    """The encoding rule of the host's `GetHttpScriptInvocationContextValue`."""

    MESSAGE = Received(
        body='{"subject":"of the body","a":"ü","list":[1]}'.encode(),
        message_id="m-1",
        delivery_count=1,
        enqueued=NOON,
        expires=NOON,
        sequence_number=42,
        content_type="application/json",
        subject="of the broker",
        application_properties={"k": "v", "n": 5},
    )

    def test_each_kind_of_value(self) -> None:
        table: list[tuple[Any, Any]] = [
            (b"\0\1", "AAE="),
            (NOON.replace(tzinfo=None), "2026-11-21T12:00:01"),
            (NOON, "2026-11-21T12:00:01+00:00"),
            ({"n": 5}, {"n": 5}),
            ("m-1", '"m-1"'),
            (1, "1"),
            (True, "true"),
            (["a"], '["a"]'),
        ]
        for value, on_the_wire in table:
            self.assertEqual(encode(value), on_the_wire, value)

    def test_one_message_in_binary(self) -> None:
        payload = json.loads(one("Replicate", "message", "binary", self.MESSAGE))
        self.assertEqual(base64.b64decode(payload["Data"]["message"]), self.MESSAGE.body)
        metadata = payload["Metadata"]
        self.assertEqual(metadata["MessageId"], '"m-1"')
        self.assertEqual(metadata["DeliveryCount"], "1")
        self.assertEqual(metadata["EnqueuedTimeUtc"], "2026-11-21T12:00:01")
        self.assertEqual(metadata["ApplicationProperties"], {"k": "v", "n": 5})
        self.assertEqual(metadata["Subject"], '"of the broker"')
        self.assertEqual(metadata["sys"]["MethodName"], "Replicate")
        self.assertNotIn("CorrelationId", metadata, "null is left out")

    def test_a_body_of_text_replaces_the_brokers_metadata(self) -> None:
        payload = json.loads(one("Replicate", "message", "string", self.MESSAGE))
        self.assertEqual(json.loads(payload["Data"]["message"]), self.MESSAGE.body.decode())
        metadata = payload["Metadata"]
        self.assertEqual((metadata["subject"], metadata["a"]), ('"of the body"', '"ü"'))
        self.assertFalse({"Subject", "list"} & metadata.keys())

    def test_a_body_that_is_no_text(self) -> None:
        with self.assertRaises(NotText):
            one("Replicate", "message", "string", Received(b"\xff", "m", 1, NOON, NOON))

    def test_a_batch(self) -> None:
        for data_type, first in (
            ("binary", base64.b64encode(self.MESSAGE.body).decode()),
            ("string", self.MESSAGE.body.decode()),
        ):
            payload = json.loads(many("Replicate", "message", data_type, [self.MESSAGE, self.MESSAGE]))
            self.assertEqual(json.loads(payload["Data"]["message"]), [first, first])
            self.assertEqual(payload["Metadata"]["MessageIdArray"], '["m-1","m-1"]')
            self.assertEqual(payload["Metadata"]["DeliveryCountArray"], "[1,1]")
            self.assertEqual(json.loads(payload["Metadata"]["EnqueuedTimeUtcArray"])[0], "2026-11-21T12:00:01.250")

    def test_a_tick(self) -> None:
        payload = json.loads(function_payload.tick("Heartbeat", "timer", NOON))
        self.assertFalse(json.loads(json.loads(payload["Data"]["timer"]))["IsPastDue"])
        self.assertNotIn("TimerTrigger", payload["Metadata"])


class FunctionAnswers(unittest.TestCase):
    def test_the_table(self) -> None:
        kind = "application/json"
        table = [
            (200, kind, b'{"Outputs":{},"Logs":[],"ReturnValue":null}', Judged.COMPLETED),
            (202, "application/json; charset=utf-8", b"{}", Judged.COMPLETED),
            (200, kind, b"null", Judged.HANGS),
            (200, kind, b" null ", Judged.HANGS),
            (200, kind, b"", Judged.HANGS),
            (204, "", b"", Judged.HANGS),
            (200, "text/plain", b"{}", Judged.FAILED),
            (200, "", b"{}", Judged.FAILED),
            (200, kind, b"{", Judged.FAILED),
            (200, kind, b"[]", Judged.FAILED),
            (200, kind, b'"done"', Judged.FAILED),
            (304, kind, b"{}", Judged.FAILED),
            (400, kind, b"{}", Judged.FAILED),
            (500, kind, b"{}", Judged.FAILED),
        ]
        for status, content_type, body, judged in table:
            self.assertEqual(judge(Answer(status, content_type, body)), judged, (status, content_type, body))


class FunctionsHosts(unittest.TestCase):
    def setUp(self) -> None:
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        _script(folder / "handler", HERE / "hosts/wrong_handler.py")
        _package(folder)
        self.counts = Counts()
        package = function_package.read(folder, SETTINGS, 2)
        self.host = FunctionsHost(package, SETTINGS, self.counts, timeout_seconds=1.0)
        self.enterContext(self.host)

    def invoke(self, word: str) -> Verdict:
        message = Received(word.encode(), "m", 1, NOON, NOON)
        return self.host.invoke("Replicate", one("Replicate", "message", "binary", message))

    def has_restarted(self, times: int) -> bool:
        return self.counts["restarts"] == times

    def test_answers(self) -> None:
        completed = {"right", "created", "redirect 307", "redirect 308"}
        failed = {"list", "text", "half", "refused", "error", "reset", "redirect 301", "redirect 302", "redirect 303"}
        pid = self.host.pid
        for word in completed | failed:
            self.assertEqual(self.invoke(word).completed, word in completed, word)
        self.assertEqual(self.host.pid, pid, "none of these costs the worker its life")
        self.assertEqual(self.counts["failures"], len(failed))

    def test_an_answer_without_a_result_hangs_until_the_timeout_and_kills_the_worker(self) -> None:
        for word in ("null", "empty", "no content"):
            pid, begin = self.host.pid, time.monotonic()
            self.assertEqual(self.invoke(word).judged, Judged.HANGS, word)
            self.assertGreater(time.monotonic() - begin, 0.9)
            self.assertNotEqual(self.host.pid, pid, word)
        self.assertEqual((self.counts["hangs"], self.counts["kills"]), (3, 3))
        self.assertTrue(self.invoke("right").completed)

    def test_a_timeout_fails_all_that_the_worker_does(self) -> None:
        verdicts: list[Verdict] = []

        def later() -> None:
            time.sleep(0.5)
            verdicts.append(self.invoke("sleep 0.8"))

        late = threading.Thread(target=later)
        late.start()
        self.assertFalse(self.invoke("sleep 30").completed)
        late.join()
        self.assertFalse(verdicts[0].completed, "it would have been in time by itself")
        self.assertEqual(self.counts["kills"], 1)
        self.assertTrue(self.invoke("right").completed)
        self.assertFalse(self.host.has_stopped, "a kill is no error of the worker")

    def test_exits_with_an_error_are_restarted_until_the_third(self) -> None:
        for number in (1, 2):
            self.assertFalse(self.invoke("exit 1").completed)
            _until(self, partial(self.has_restarted, number))
            self.assertTrue(self.invoke("right").completed)
        self.assertFalse(self.invoke("exit 1").completed)
        _until(self, lambda: self.host.has_stopped)
        self.assertFalse(self.invoke("right").completed)

    def test_an_exit_with_zero_is_not_restarted(self) -> None:
        self.assertFalse(self.invoke("exit 0").completed)
        _until(self, lambda: self.counts["exits"] == 1)
        with patch("hosts.functions_host.INIT_SECONDS_MAX", 0.3):
            self.assertFalse(self.invoke("right").completed)
        self.assertEqual(self.counts["restarts"], 0)


class Packages(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        _package(self.folder)

    def read(self) -> function_package.Package:
        return function_package.read(self.folder, SETTINGS, 2)

    def test_settings_are_filled_in(self) -> None:
        package = self.read()
        self.assertEqual(package.trigger("serviceBusTrigger").members["queueName"], "events")
        self.assertEqual((package.timeout_seconds, package.renewal_seconds_max), (300, 300))
        self.assertEqual(package.concurrent_calls_max, 32, "16 for each core")

    def test_what_the_host_would_not_start_or_would_never_settle(self) -> None:
        def host(**members: Any) -> None:
            text = (self.folder / "host.json").read_text()
            (self.folder / "host.json").write_text(json.dumps(json.loads(text) | members))

        for members in (
            {"version": "1.0"},
            {"functionTimeout": "5 minutes"},
            {"extensionBundle": {}},
            {"extensions": {"serviceBus": {"autoCompleteMessages": False}}},
        ):
            _package(self.folder)
            host(**members)
            with self.assertRaises(BadPackage, msg=members):
                self.read()
        _package(self.folder)
        for missing in SETTINGS:
            with self.assertRaises(BadPackage, msg=missing):
                function_package.read(self.folder, {name: "" for name in SETTINGS if name != missing}, 2)


SETTINGS = {"QUEUE": "events", "BUS": "Endpoint=sb://127.0.0.1;"}


def _package(folder: Path) -> None:
    """A function app of the least form."""
    host = {
        "version": "2.0",
        "functionTimeout": "00:05:00",
        "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"},
        "customHandler": {"description": {"defaultExecutablePath": "handler"}},
    }
    (folder / "host.json").write_text(json.dumps(host))
    binding = {"name": "message", "type": "serviceBusTrigger", "queueName": "%QUEUE%", "connection": "BUS"}
    (folder / "Replicate").mkdir(exist_ok=True)
    (folder / "Replicate/function.json").write_text(json.dumps({"bindings": [binding | {"dataType": "binary"}]}))


def _script(path: Path, program: Path) -> None:
    """An executable that runs one of the wrong functions."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _until(case: unittest.TestCase, holds: Callable[[], bool]) -> None:
    """Waits for what another thread or process is about to do."""
    end = time.monotonic() + 5
    while not holds():
        case.assertLess(time.monotonic(), end)
        time.sleep(0.01)


def _state(pid: int) -> str:
    """One letter, as in `ps`: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


if __name__ == "__main__":
    unittest.main()
