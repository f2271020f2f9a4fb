"""Scores the query language with ../shared/tools/kql_score.py, where that is there. Arguments after -- go to it."""

import argparse
import os
import subprocess
import sys
import tempfile

from turnstone import Server

SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="the folder of the build")
    options, further = parser.parse_known_args()
    tool = os.path.join(SHARED, "tools", "kql_score.py")
    if not os.path.exists(tool):
        print("there is no ../shared beside this repository, so there is nothing to score with")
        return 0
    cases = [os.path.join(SHARED, "conformance", name + ".jsonl") for name in ("kql-docs", "kql-engine", "kql-loco", "sentinel-rules")]
    with tempfile.TemporaryDirectory() as data:
        server = Server(os.path.join(options.bin, "turnstone"), data)
        try:
            command = [sys.executable, tool, "--endpoint", "http://127.0.0.1:%d" % server.port]
            command += ["--token-file", os.path.join(data, "admin-token")]
            return subprocess.run(command + [a for a in further if a != "--"] + cases).returncode
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
