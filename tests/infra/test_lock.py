"""A cancelled update leaves the stack locked; a rollback takes the lock over. With the real Pulumi CLI, where it is."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.scripts.conftest import Place

CLI = shutil.which("pulumi")
# A language host whose program makes nothing, and does not end while a file `hang` lies in the project.
HOST = """#!{python}
import sys, time
from concurrent import futures
from pathlib import Path
import grpc
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

class Host(language_pb2_grpc.LanguageRuntimeServicer):
    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="1.0.0")
    def GetRequiredPlugins(self, request, context):
        return language_pb2.GetRequiredPluginsResponse()
    def GetRequiredPackages(self, request, context):
        return language_pb2.GetRequiredPackagesResponse()
    def Run(self, request, context):
        while Path({project!r}, "hang").exists():
            time.sleep(0.05)
        return language_pb2.RunResponse()

server = grpc.server(futures.ThreadPoolExecutor(4))
language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


@pytest.mark.skipif(CLI is None, reason="no pulumi CLI on PATH")
def test_a_rollback_takes_over_the_lock_of_an_update_that_was_cut_off(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (place.bin / "pulumi").unlink()  # the real one
    Place._program(place.bin / "pulumi-language-hanging", HOST.format(python=sys.executable, project=str(tmp_path)))
    (tmp_path / "Pulumi.yaml").write_text("name: aldea-asr-platform\nruntime: hanging\n")
    (place.deploy / "images.json").write_text('{"backend": "sha256:new"}')
    (place.deploy / "previous.json").write_text('{"backend": "sha256:old"}')
    state = tmp_path / "state"
    state.mkdir()
    settings = {
        "PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE": "of this test",
        "PULUMI_HOME": str(tmp_path / "home"), "PULUMI_SKIP_UPDATE_CHECK": "true", "STACK": "dev",
    }  # fmt: skip
    environment = {**os.environ, **settings, "PATH": f"{place.bin}:{os.environ['PATH']}"}
    assert CLI is not None
    subprocess.run([CLI, "stack", "init", "dev"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    (tmp_path / "hang").touch()
    update = subprocess.Popen(
        [tmp_path / "scripts" / "deploy", "up"], env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not list(state.glob(".pulumi/locks/**/*.json")):
            assert update.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        os.killpg(update.pid, signal.SIGKILL)  # as a runner ends what it cancels
        update.wait()
        (tmp_path / "hang").unlink()
    refused = place.run("deploy", "up", **settings)
    assert refused.returncode != 0
    assert "locked" in refused.stderr + refused.stdout
    back = place.run("deploy", "rollback", **settings)
    assert back.returncode == 0, back.stderr
    assert not list(state.glob(".pulumi/locks/**/*.json"))
    assert place.calls == ["python -m aldea_infra.release verify dev --images .deploy/previous.json"]
