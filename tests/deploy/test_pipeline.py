"""The pipelines: linted, and their steps run against clouds of paper: programs named aws and az that write down what they are told."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from terraform import DEPLOY, ROOT

WORKFLOWS = ROOT / ".github/workflows"

# Answers by the first match of a command line, from a file; writes each line into another.
CLOUD = f"""#!{sys.executable}
import json, os, re, sys
line = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
open(os.environ["CALLS"], "a").write(line + "\\n")
calls = open(os.environ["CALLS"]).read().splitlines()
for pattern, answer, after in json.loads(os.environ["ANSWERS"]):
    if re.search(pattern, line) and sum(bool(re.search(pattern, call)) for call in calls) > after:
        if answer is None:
            sys.exit("refused")
        print(answer)
        break
"""
AWS = [
    ["get-alias", "7", 0], ["update-function-code", "8", 0], ["invoke ", "None", 0], ["length.MetricAlarms", "4", 0], ["get-metric-statistics", "0.0", 0],
]
AZURE = [["group show", "/subscriptions/s/resourceGroups/g", 0]]


def run(script: str, answers: list, *words: str, stop_after: str = "", **settings: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Runs a step; answers how it ended and what it told the cloud."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("aws", "az"):
            program = Path(folder) / name
            program.write_text(CLOUD)
            program.chmod(0o755)
        calls = Path(folder) / "calls"
        environment = {
            **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls), "ANSWERS": json.dumps(answers), "STEP_SECONDS": "0", **settings,
        }
        command = [DEPLOY / "pipeline" / script, *words]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            if stop_after:
                while not (calls.exists() and re.search(stop_after, calls.read_text())):
                    time.sleep(0.1)
                time.sleep(1)
                process.send_signal(signal.SIGTERM)
            # A sleep that goes on after its script would hold the pipes, so they are not waited for.
            process.wait(20)
            os.killpg(process.pid, signal.SIGKILL) if stop_after else None
            out, err = process.communicate()
        done = subprocess.CompletedProcess(command, process.returncode, out, err)
        return done, calls.read_text().splitlines()


class Pipeline(unittest.TestCase):
    """What runs in GitHub Actions."""

    def test_actionlint_and_zizmor_find_nothing(self) -> None:
        for command in (["actionlint"], ["zizmor", "--offline", "--quiet", "."]):
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_they_would_find_something(self) -> None:
        faults = [
            ("actionlint", "needs: build", "needs: builds", "job \"builds\""),
            ("zizmor", "    permissions:\n      contents: read\n      id-token: write\n      attestations: write\n", "    permissions: write-all\n", "overly broad"),
            ("zizmor", re.search(r"checkout@[0-9a-f]{40}", (WORKFLOWS / "deploy.yml").read_text()).group(), "checkout@v7", "unpinned"),
        ]
        for program, right, wrong, said in faults:
            with self.subTest(program, wrong=wrong), tempfile.TemporaryDirectory() as folder:
                shutil.copytree(ROOT / ".github", Path(folder) / ".github")
                subprocess.run(["git", "init", "--quiet", folder], check=True)
                file = Path(folder) / ".github/workflows/deploy.yml"
                text = file.read_text()
                self.assertIn(right, text)
                file.write_text(text.replace(right, wrong, 1))
                words = ["--offline", "."] if program == "zizmor" else []
                done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(said, done.stdout + done.stderr)

    def test_no_secret_is_stored(self) -> None:
        for file in WORKFLOWS.glob("*.yml"):
            with self.subTest(file.name):
                self.assertNotIn("secrets.", file.read_text())

    def test_a_new_version_gets_more_and_more_and_then_all(self) -> None:
        done, calls = run("aws.sh", AWS, "bridge-worker", "p.zip", "bridge")
        self.assertEqual(done.returncode, 0, done.stderr)
        moves = [call.split("--function-version ")[1] for call in calls if "update-alias" in call]
        routing = "--routing-config AdditionalVersionWeights="
        self.assertEqual(moves, [f"7 {routing}{{8=0.1}}", f"7 {routing}{{8=0.5}}", f"8 {routing}{{}}"])

    def test_an_alarm_takes_it_back_at_any_step(self) -> None:
        for step in range(3):
            with self.subTest(step=step):
                answers = [["state-value ALARM", "bridge-errors", step + 1], *AWS]
                done, calls = run("aws.sh", answers, "bridge-worker", "p.zip", "bridge")
                self.assertEqual(done.returncode, 1)
                self.assertIn("--function-version 7 --routing-config AdditionalVersionWeights={}", calls[-1])
                self.assertIn("rings: bridge-errors", done.stderr)

    def test_a_cloud_that_does_not_answer_takes_it_back_too(self) -> None:
        done, calls = run("aws.sh", [["state-value ALARM", None, 2], *AWS], "bridge-worker", "p.zip", "bridge")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--function-version 7 --routing-config AdditionalVersionWeights={}", calls[-1])
        done, calls = run("azure.sh", [["rest ", None, 1], *AZURE], "g", "new.zip", "old.zip", "blue")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(deployed(calls), [("blue", "new.zip"), ("blue", "old.zip")])

    def test_an_error_of_the_new_version_takes_it_back_though_no_alarm_rings(self) -> None:
        done, calls = run("aws.sh", [["get-metric-statistics", "1.0", 0], *AWS], "bridge-worker", "p.zip", "bridge")
        self.assertEqual(done.returncode, 1)
        self.assertIn("ExecutedVersion,Value=8", calls[-2])
        self.assertIn("--function-version 7 --routing-config AdditionalVersionWeights={}", calls[-1])

    def test_nothing_moves_without_its_alarms_or_while_one_rings(self) -> None:
        for answer, said in ((["length.MetricAlarms", "0", 0], "Is ALARM_PREFIX the site's name?"), (["state-value ALARM", "bridge-errors", 0], "rings already")):
            with self.subTest(said):
                done, calls = run("aws.sh", [answer, *AWS], "bridge-worker", "p.zip", "bridge")
                self.assertEqual(done.returncode, 1)
                self.assertIn(said, done.stderr)
                self.assertEqual([call for call in calls if "update-" in call], [])

    def test_a_way_back_that_fails_too_says_what_to_do(self) -> None:
        answers = [["state-value ALARM", "bridge-errors", 1], ["function-version 7 --routing-config AdditionalVersionWeights={}", None, 0], *AWS]
        done, _ = run("aws.sh", answers, "bridge-worker", "p.zip", "bridge")
        self.assertEqual(done.returncode, 1)
        self.assertIn("IT DID NOT GO BACK", done.stderr)

    def test_a_signal_acts_at_once(self) -> None:
        for script, answers, words, back in (
            ("aws.sh", AWS, ("bridge-worker", "p.zip", "bridge"), "--function-version 7 --routing-config AdditionalVersionWeights={}"),
            ("azure.sh", AZURE, ("g", "new.zip", "old.zip", "blue"), "--src old.zip"),
        ):
            with self.subTest(script):
                # In the first step, which would take 50 s.
                done, calls = run(script, answers, *words, stop_after="8=0.1|new.zip", STEP_SECONDS="50")
                self.assertEqual(done.returncode, 1)
                self.assertIn(back, calls[-1])

    def test_an_alert_of_before_is_left_out(self) -> None:
        done, calls = run("azure.sh", [["rest ", "1 bridge-errors", 0], *AZURE], "g", "new.zip", "old.zip", "blue")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("fired already", done.stderr)
        self.assertEqual(deployed(calls), [("blue", "new.zip")])

    def test_a_version_without_a_heartbeat_gets_no_event(self) -> None:
        done, calls = run("aws.sh", [["invoke ", "Unhandled", 0], *AWS], "bridge-worker", "p.zip", "bridge")
        self.assertEqual(done.returncode, 1)
        self.assertEqual([call for call in calls if "update-alias" in call], [])

    def test_the_alarms_that_it_watches_exist(self) -> None:
        for script, names in (("aws.sh", r"\$alarms-([a-z-]+)"), ("azure.sh", r"'-([a-z-]+)'")):
            code = (DEPLOY / script.removesuffix(".sh") / "alarms.tf").read_text()
            found = set(re.findall(names, (DEPLOY / "pipeline" / script).read_text()))
            self.assertGreaterEqual(len(found), 3)
            for name in found:
                self.assertRegex(code, rf"(?m)^    {name} += \{{|-{name}\"$|\"{name}-\$")

    def test_apps_get_it_one_after_the_other(self) -> None:
        done, calls = run("azure.sh", AZURE, "g", "new.zip", "old.zip", "blue", "green")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(deployed(calls), [("blue", "new.zip"), ("green", "new.zip")])

    def test_an_alert_puts_the_former_package_back(self) -> None:
        for step, expected in enumerate([[("blue", "old.zip")], [("green", "new.zip"), ("blue", "old.zip"), ("green", "old.zip")]]):
            with self.subTest(step=step):
                done, calls = run("azure.sh", [["rest ", "2 bridge-silence-blue", step + 1], *AZURE], "g", "new.zip", "old.zip", "blue", "green")
                self.assertEqual(done.returncode, 1)
                self.assertEqual(deployed(calls), [("blue", "new.zip"), *expected])


def deployed(calls: list[str]) -> list[tuple[str, str]]:
    """Apps and packages, in their order."""
    return [re.search(r"--name (\S+) --src (\S+)", call).groups() for call in calls if "config-zip" in call]


if __name__ == "__main__":
    unittest.main()
