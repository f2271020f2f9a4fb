"""Measures Turnstone and writes docs/performance.md.

There are five parts: beside its peers, small batches, growth, the sample queries, the portal. What a part measured is kept in
--results, and the Markdown is rendered from all that is there, so that parts can be measured one by one.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile

import growth
import latency
import peers
import portal
import render
import results
import samples
from turnstone import Server

PARTS = ["peers", "small", "growth", "samples", "portal"]


def count(text):
    """A number of rows; 1e6 is one too."""
    return int(float(text))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", required=True, help="a folder for what was measured")
    parser.add_argument("--out", help="the Markdown file to write")
    parser.add_argument("--render", action="store_true", help="measure nothing, write --out from --results")
    parser.add_argument("--bin", help="the folder of the release build")
    parser.add_argument("--work", help="a folder for generated rows and data; what the peers' tool generates stays there; "
                                       "a temporary one by default")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the parts to measure")
    parser.add_argument("--rows", type=count, nargs="+", default=[2_000_000, 10_000_000, 40_000_000], help="beside the peers")
    parser.add_argument("--python", default=sys.executable, help="a Python that has duckdb, chdb, numpy, pyarrow and playwright")
    parser.add_argument("--batches", type=count, default=200, help="small batches")
    parser.add_argument("--growth-rows", type=count, nargs="+", default=[1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--growth-rows-per-day", type=count, default=growth.ROWS_PER_DAY)
    parser.add_argument("--alerts", type=count, default=5_000_000, help="for the sample queries and the portal")
    parser.add_argument("--recommendations", type=count, default=500_000, help="for the sample queries")
    options = parser.parse_args()
    if options.render and not options.out:
        parser.error("--render needs --out")
    if not options.render and not options.bin:
        parser.error("to measure needs --bin")
    return options


def measure(options):
    work = options.work

    @contextlib.contextmanager
    def new_server():
        """A server without rows, and a folder on its file system."""
        with tempfile.TemporaryDirectory(dir=work) as folder:
            with Server(os.path.join(options.bin, "turnstone"), os.path.join(folder, "data")) as server:
                yield server, folder

    def measure_part(part):
        print("\n== %s" % part, flush=True)
        if part == "peers" and not peers.are_here():
            print("there is no ../shared beside this repository, so there are no peers to measure beside")
        elif part == "peers":
            for rows in options.rows:
                with new_server() as (server, _):
                    at = os.path.join(work, "peers", str(rows))
                    results.save(options.results, part, peers.measured(server, options.python, rows, at), rows)
        elif part == "small":
            with new_server() as (server, folder):
                results.save(options.results, part, latency.measured(server, folder, options.batches))
        elif part == "growth":
            for rows in options.growth_rows:
                with new_server() as (server, _):
                    result = growth.measured(server, rows, options.growth_rows_per_day)
                    results.save(options.results, part, result, rows)
        elif part == "samples":
            with new_server() as (server, folder):
                result = samples.measured(server, folder, options.alerts, options.recommendations)
                results.save(options.results, part, result)
        elif part == "portal" and not portal.are_here(options.python):
            print("the portal is not measured: it needs playwright and Chromium")
        elif part == "portal":
            with new_server() as (server, _):
                results.save(options.results, part, portal.measured(server, options.python, options.alerts))

    with contextlib.ExitStack() as stack:
        if work:
            os.makedirs(work, exist_ok=True)
        else:
            work = stack.enter_context(tempfile.TemporaryDirectory())
        for part in PARTS:
            if part in options.only:
                measure_part(part)


def main():
    options = arguments()
    # Who is told to stop stops the server and removes its data, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if not options.render:
        measure(options)
    if options.out:
        render.write(results.read(options.results), options.out)


if __name__ == "__main__":
    main()
