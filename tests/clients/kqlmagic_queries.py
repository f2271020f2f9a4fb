"""What a notebook does with Kqlmagic; reads what to ask from standard input, prints what came of it."""

import collections
import collections.abc
import contextlib
import json
import sys

# The last release of the client is older than Python 3.10, which took this name away.
collections.Iterator = collections.abc.Iterator

from IPython.core.interactiveshell import InteractiveShell  # noqa: E402
from IPython.utils.capture import capture_output  # noqa: E402


def told(shell: InteractiveShell, line: str) -> dict:
    """The result of a line of the magic, and all that it shows beside it: it shows errors instead of raising them."""
    with capture_output() as captured:
        result = shell.run_line_magic("kql", line)
    shown = captured.stdout + "".join(text for output in captured.outputs for text in output.data.values())
    given = {"shown": shown}
    if type(result).__name__ == "ResultSet":
        given["columns"] = dict(zip(result.columns_name, result.columns_type))
        given["rows"] = [[value if isinstance(value, int) else str(value) for value in row] for row in result]
        given["raw"] = result.raw_json
        given["visualization"] = result.visualization
        given["title"] = result.title
        given["is_partial"] = result.is_partial_table
        given["status"] = dict(result.completion_query_info)
    elif result is not None:
        given["value"] = dict(result)
    return given


def main():
    asked = json.load(sys.stdin)
    # Notes of the client on what is not installed, and of the shell, are kept away from the answer.
    with contextlib.redirect_stdout(sys.stderr):
        shell = InteractiveShell.instance()
        # An archived client and a shell that goes on: nothing is to be kept of this session.
        shell.history_manager.enabled = False
        shell.run_line_magic("load_ext", "Kqlmagic")
        answers = [told(shell, line) for line in asked]
    print(json.dumps(answers, default=str))


main()
