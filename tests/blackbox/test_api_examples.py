"""The examples of docs/reference/api are what they say: each block runs, one after the other, in one shell."""

import os
import re
import subprocess
from pathlib import Path

from turnstone_server import Server

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "api" / "README.md"
RUN_SECONDS = 300


def test_every_example_runs(tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 10
    script = "set -eu -o pipefail\n" + "".join(f"echo '== block {at}'\n{block}\n" for at, block in enumerate(blocks))
    with Server(tmp_path / "data", "--no-agent") as server:
        known = {"URL": server.https, "CURL_CA_BUNDLE": str(server.ca), "TOKEN": server.token}
        ran = subprocess.run(
            ["bash", "-c", script], env={**os.environ, **known}, capture_output=True, text=True, timeout=RUN_SECONDS
        )
        told = ran.stdout[-2000:] + ran.stderr[-2000:]
        assert ran.returncode == 0, told
        assert server.kusto("Readings_CL | where Device == 'pump-07' and round(Celsius, 1) == 21.5 | count").value == 2
        assert f"== block {len(blocks) - 1}" in ran.stdout
