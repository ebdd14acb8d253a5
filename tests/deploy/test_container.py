"""The image's content: listed, refused where it is more than it should be, and started in a bare root directory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from clouds import AWS, PROGRAM, SECONDS_MAX, Clouds, wait
from terraform import DEPLOY

CONTENT = DEPLOY / "container/content.py"
# Everything that the image may hold, whatever the architecture.
FILES = re.compile(
    r"/bridge|/etc/(group|passwd|nsswitch\.conf)|/etc/ssl/certs/ca-certificates\.crt"
    r"|/(usr/)?lib(64)?/([a-z0-9_-]+-linux-gnu/)?(libc|libm|libgcc_s|libdl|libpthread|librt|ld-linux-[a-z0-9-]+)\.so\.\d"
)
USER = "65532:65532"
ENVIRONMENT = ("BRIDGE_CONFIG", "BRIDGE_SITE", "SSL_CERT_FILE")


class Container(unittest.TestCase):
    """Built from the program of the dev build. The pipeline does the same with the packages' program."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        done = subprocess.run([sys.executable, CONTENT, PROGRAM, folder], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        cls.root, cls.listed = Path(folder) / "root", done.stdout

    def inside(self, *words: str) -> list[str]:
        """The command that runs the program with the image's content as its whole root, as the image's user."""
        root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive", f"--preserve-env={','.join(ENVIRONMENT)}"]
        if root and subprocess.run(["sudo", "--non-interactive", "true"], capture_output=True).returncode != 0:
            self.skipTest("needs root, or sudo without a password, for chroot")
        return [*root, "chroot", f"--userspec={USER}", str(self.root), "/bridge", *words]

    def test_it_holds_nothing_but_the_program_and_what_it_loads(self) -> None:
        names = [line.split()[-1] for line in self.listed.splitlines()]
        self.assertIn("/bridge", names)
        self.assertEqual([name for name in names if not FILES.fullmatch(name)], [])
        on_disk = {f"/{path.relative_to(self.root)}" for path in self.root.rglob("*") if path.is_file()}
        self.assertEqual(set(names), on_disk)
        for path in self.root.rglob("*"):
            self.assertFalse(path.is_file() and path.stat().st_mode & 0o222, f"{path} could be written")

    def test_a_program_that_loads_more_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, CONTENT, sys.executable, folder], capture_output=True, text=True)
        # An interpreter loads its own library, or at least libz or the like.
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the program loads what the image does not provide", done.stderr)

    def test_a_worker_starts_and_works_in_a_bare_root(self) -> None:
        clouds = Clouds()
        self.addCleanup(clouds.close)
        clouds.publish(AWS, range(20))
        values = (Path(clouds.config).read_text(), AWS, "/etc/ssl/certs/ca-certificates.crt")
        environment = dict(zip(ENVIRONMENT, values, strict=True))
        with tempfile.TemporaryFile("w+") as log:
            worker = subprocess.Popen(self.inside("run"), env={"PATH": os.environ["PATH"], **environment}, stdout=log, stderr=log)
            try:
                wait(lambda: clouds.waiting("sqs") == 0, "the worker")
            except AssertionError:
                log.seek(0)
                self.fail(log.read())
            finally:
                worker.send_signal(signal.SIGTERM)
                code = worker.wait(SECONDS_MAX)
        self.assertEqual(code, 0)
        self.assertIn("order-7", clouds.bridge("get", "order-7").stdout)


if __name__ == "__main__":
    unittest.main()
