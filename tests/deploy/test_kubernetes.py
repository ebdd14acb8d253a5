"""The manifests of deploy/kubernetes: put together by Kustomize, and held to the schemas of Kubernetes and KEDA."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda

from clouds import PROGRAM
from terraform import DEPLOY

OVERLAYS = {"aws": "aws:us-east-1", "azure": "azure:westeurope"}
KUBERNETES = "1.37"

# KEDA's schema takes any metadata, so the scalers' own are written down here, from keda.sh, "Scalers", 2.16: required, and allowed.
SCALERS = {
    "aws-sqs-queue": ({"queueURL", "awsRegion"}, {"queueURL", "awsRegion", "queueLength", "activationQueueLength", "scaleOnInFlight", "scaleOnDelayed"}),
    "azure-servicebus": ({"queueName", "namespace"}, {"queueName", "namespace", "messageCount", "activationMessageCount"}),
}


def built(overlay: str, folder: Path = DEPLOY / "kubernetes") -> list[dict]:
    """What Kustomize makes of an overlay."""
    if not shutil.which("kubectl"):
        raise unittest.SkipTest("needs kubectl, for its Kustomize: install it (kubernetes.io)")
    done = subprocess.run(["kubectl", "kustomize", folder / overlay], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def faults(document: dict) -> str:
    """What is wrong with a document, or nothing."""
    try:
        if document["apiVersion"].startswith("keda.sh/"):
            _check_keda(document)
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except Exception as error:  # Each library has its own kinds.
        return str(error)
    return ""


def _check_keda(document: dict) -> None:
    kind = getattr(keda, document["kind"])
    # The model skips names that it does not know: what comes out must be what went in.
    taken = kind.model_validate(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
    if taken != document:
        raise ValueError(f"KEDA knows only {taken} of {document}")
    for trigger in document["spec"].get("triggers", []):
        required, allowed = SCALERS[trigger["type"]]
        names = set(trigger["metadata"])
        if not required <= names <= allowed:
            raise ValueError(f"{trigger['type']}: missing {required - names}, unknown {names - allowed}")
        if not all(isinstance(value, str) for value in trigger["metadata"].values()):
            raise ValueError(f"{trigger['type']}: all metadata are texts")


class Kubernetes(unittest.TestCase):
    """Both overlays."""

    def test_every_document_keeps_its_schema(self) -> None:
        for overlay in OVERLAYS:
            for document in built(overlay):
                with self.subTest(overlay, kind=document["kind"]):
                    self.assertEqual(faults(document), "")

    def test_a_slip_of_the_pen_is_noticed(self) -> None:
        slips = [
            ("base/deployment.yaml", "readOnlyRootFilesystem", "readOnlyRootFileSystem"),
            ("base/network.yaml", "policyTypes", "policyType"),
            ("base/disruption.yaml", "  maxUnavailable: 1", "  maxUnavailable: [1]"),
            ("azure/scaler.yaml", "pollingInterval", "pollInterval"),
            ("azure/scaler.yaml", "messageCount", "queueLength"),
            ("aws/scaler.yaml", "        awsRegion: us-east-1\n", ""),
        ]
        for file, right, wrong in slips:
            with self.subTest(file, wrong=wrong), tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / "kubernetes"
                shutil.copytree(DEPLOY / "kubernetes", copy)
                text = (copy / file).read_text()
                self.assertIn(right, text)
                (copy / file).write_text(text.replace(right, wrong))
                overlay = "azure" if file.startswith("base") else file.split("/")[0]
                self.assertTrue(any(faults(document) for document in built(overlay, copy)))

    def test_the_worker_is_locked_down(self) -> None:
        for overlay in OVERLAYS:
            with self.subTest(overlay):
                pod = next(one for one in built(overlay) if one["kind"] == "Deployment")["spec"]["template"]["spec"]
                container = pod["containers"][0]
                context = container["securityContext"]
                self.assertTrue(pod["securityContext"]["runAsNonRoot"] and context["readOnlyRootFilesystem"])
                self.assertEqual((context["allowPrivilegeEscalation"], context["capabilities"]["drop"]), (False, ["ALL"]))
                self.assertEqual([volume for volume in pod["volumes"] if "configMap" not in volume], [])

    def test_program_and_scaler_agree_on_site_and_queue(self) -> None:
        for overlay, site in OVERLAYS.items():
            with self.subTest(overlay):
                documents = built(overlay)
                text = next(one for one in documents if one["kind"] == "ConfigMap")["data"]["bridge.toml"]
                container = next(one for one in documents if one["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][0]
                environment = {entry["name"]: entry["value"] for entry in container["env"]}
                self.assertEqual(environment["BRIDGE_SITE"], site)
                done = subprocess.run([PROGRAM, "config"], env={**os.environ, **environment, "BRIDGE_CONFIG": text}, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                metadata = next(one for one in documents if one["kind"] == "ScaledObject")["spec"]["triggers"][0]["metadata"]
                queue = metadata.get("queueURL") or metadata["queueName"]
                section = re.search(rf'\[sites."{site}"\]\n(.*?)(\n\n|$)', text, re.DOTALL).group(1)
                self.assertIn(f'"{queue}"', section)
                if "namespace" in metadata:
                    self.assertIn(f'"{metadata["namespace"]}.servicebus', section)


if __name__ == "__main__":
    unittest.main()
