"""Clients that cannot share the tests' own environment: each gets a virtual environment, or a folder of Node modules.

They are kept below the folder TURNSTONE_CLIENT_VENVS, and made anew when what they are made from has changed; without
that folder they last as long as the test session. Fixtures that make them must not have the scope of a function: then
the installers see the environment of the user, and not one that trusts nothing but the server under test.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
INSTALL_SECONDS = 900
RUN_SECONDS = 300


def home(tmp_path_factory) -> Path:
    """The folder for all environments."""
    folder = os.environ.get("TURNSTONE_CLIENT_VENVS")
    return Path(folder) if folder else tmp_path_factory.getbasetemp() / "client-venvs"


@contextlib.contextmanager
def _made_once(folder: Path, made_from: str):
    """Yields whether `folder` must be filled; it counts as filled when the body ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp = folder / "made-from"
    wanted = hashlib.sha256(made_from.encode()).hexdigest()
    with open(folder.with_name(folder.name + ".lock"), "w") as lock:
        # Two test sessions may want the same folder.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            yield False
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield True
        stamp.write_text(wanted)


def _install(*command, **options):
    ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, **options)
    assert ran.returncode == 0, f"{' '.join(map(str, command))}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"


def environment(tmp_path_factory, name: str) -> Path:
    """The programs of a virtual environment that holds what requirements-<name>.txt lists, and nothing else.

    The lists are complete, so nothing is resolved; that keeps packages out that a client asks for and never imports.
    """
    requirements = HERE / f"requirements-{name}.txt"
    folder = home(tmp_path_factory) / name
    with _made_once(folder, f"{sys.version}\n{requirements.read_text()}") as is_needed:
        if is_needed:
            _install(sys.executable, "-m", "venv", folder)
            pip = (folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            _install(*pip, "--no-deps", "--only-binary=:all:", "--requirement", requirements)
    return folder / "bin"


def node_modules(tmp_path_factory) -> Path:
    """A folder with the scripts of node/ and the modules they need."""
    folder = home(tmp_path_factory) / "node"
    package = HERE / "node/package.json"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    with _made_once(folder, version + package.read_text()) as is_needed:
        if is_needed:
            folder.mkdir()
            shutil.copy(package, folder)
            _install("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    # Node looks for modules beside a script, wherever it was started.
    for script in (HERE / "node").glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def answer(*command, given=None, cwd: Path | None = None, **environ: str):
    """Runs a client's script, which reads JSON from standard input and ends with a line of JSON; that line's value."""
    # A client that sees this name thinks that it is being tested by its makers: msticpy asks no server then.
    kept = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    ran = subprocess.run(
        list(map(str, command)),
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        cwd=cwd,
        env={**kept, **environ},
    )
    printed = ran.stdout.strip().splitlines()
    assert ran.returncode == 0 and printed, f"code {ran.returncode}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return json.loads(printed[-1])
