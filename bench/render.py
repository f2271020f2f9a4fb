"""docs/performance.md, from what was measured."""

import os

import growth
import latency
import plot
import portal
from turnstone import WARM_RUNS

PLOT = "performance-growth.svg"
ENGINES = ("Turnstone", "DuckDB", "ClickHouse")
ON_DISK = ("Turnstone", "Turnstone at rest", "DuckDB", "ClickHouse")


def table(head, rows):
    lines = ["| %s |" % " | ".join(head), "|" + "--|" * len(head)]
    return lines + ["| %s |" % " | ".join(row) for row in rows] + [""]


def megabytes(number):
    return "%.1f" % (number / 1e6) if number < 1e8 else f"{number / 1e6:,.0f}"


def number(rows):
    return f"{rows:,}"


def seconds_text(answer, form="%.4f"):
    return "failed" if "error" in answer else form % answer["seconds"]


def or_more(value, form="%.1f"):
    """A time that has a bound; none is one beyond it."""
    return "not within the bound" if value is None else form % value


def faults(answers):
    """What went wrong, an item for each."""
    return ["- %s: `%s`" % (name, " ".join(answer["error"].split())[:300]) for name, answer in answers if "error" in answer]


def when(results):
    """The days of measuring."""
    days = sorted({result["date"] for result in results})
    return "Measured on %s." % " and ".join(days)


def machines(parts):
    texts = []
    for results in parts.values():
        for result in results:
            machine = result["machine"]
            text = "%s, %s%d cores, %.0f GB of memory; Python %s" % (
                machine["architecture"], machine["processor"] and machine["processor"] + ", ", machine["cores"],
                machine["memory_bytes"] / 1e9, machine["python"])
            if text not in texts:
                texts.append(text)
    peers = parts.get("peers", [])
    versions = sorted({", ".join("%s %s" % item for item in result["versions"].items()) for result in peers})
    lines = ["Machine: %s." % "; ".join(texts)] if texts else []
    lines += ["Peers: %s." % text for text in versions]
    return lines


def peers_section(runs):
    lines = ["## Beside DuckDB and ClickHouse", ""]
    if not runs:
        return lines + ["Not run: it takes `../shared`, which has the tool, beside this repository.", ""]
    lines += [
        "The same rows and questions for all three on one machine, with `../shared/tools/side_by_side.py`. Turnstone is asked",
        "over HTTP and answers in JSON; DuckDB and ClickHouse (chDB) run inside the process that asks, over tables of their own",
        "formats, with %s threads. All answers are compared. Loading is of JSON lines: Turnstone's are on disk and can be" % runs[0]["threads"],
        "queried before each request is answered, the peers load in bulk from a file. Questions are asked once all of",
        "Turnstone's rows are in table files and it is at rest, small files merged. Of ClickHouse's folder only the parts that",
        "hold rows are counted, not those that were merged into others and wait to be removed. " + when(runs),
        "",
    ]

    def speed(run, engine):
        loaded = run["load"][engine]
        return loaded["json_bytes"] / loaded["seconds"] / 1e6

    def worst(run):
        ratios = {name: query["ratio"] for name, query in run["queries"].items() if query["ratio"]}
        name = max(ratios, key=ratios.get, default=None)
        return "%.2f (%s)" % (ratios[name], name) if name else "-"

    def row(name, cell):
        return [name] + [cell(run) for run in runs]

    def queryable_seconds(run):
        return run["load"]["Turnstone"]["seconds"]

    def geometric_mean(run):
        return "%.2f" % run["geometric_mean_ratio"] if run["geometric_mean_ratio"] else "-"

    def load_ratio(run):
        return "%.2f" % (speed(run, "Turnstone") / max(speed(run, peer) for peer in ENGINES[1:]))

    def side_files_multiple(run):
        return "-" if run["side_files_seconds"] is None else "%.2f" % (run["side_files_seconds"] / queryable_seconds(run))

    lines += table(["rows"] + [number(run["rows"]) for run in runs], [
        row("time of queries, Turnstone / best peer: geometric mean", geometric_mean),
        row("the worst query", worst),
        row("wrong answers of Turnstone", lambda run: str(sum(1 for query in run["queries"].values() if not query["ratio"]))),
        *[row("load, JSON MB/s: " + engine, lambda run, engine=engine: "%.0f" % speed(run, engine)) for engine in ENGINES],
        row("load, Turnstone / faster peer", load_ratio),
        *[row("on disk, MB: " + engine, lambda run, engine=engine: megabytes(run["disk_bytes"][engine])) for engine in ON_DISK],
        *[row("on disk, %s / ClickHouse" % engine, lambda run, engine=engine: "%.2f" % (
            run["disk_bytes"][engine] / run["disk_bytes"]["ClickHouse"])) for engine in ON_DISK[:2]],
        row("seconds until all rows can be queried", lambda run: "%.1f" % queryable_seconds(run)),
        row("seconds until all are in table files", lambda run: or_more(run["in_files_seconds"])),
        row("seconds until these have their side files", lambda run: or_more(run["side_files_seconds"])),
        row("the latter as a multiple of the first", side_files_multiple),
        row("seconds from then until Turnstone is at rest", lambda run: or_more(run["at_rest_seconds"])),
    ])
    for run in runs:
        rows = []
        for name, query in run["queries"].items():
            cells = ["%.4f" % query["seconds"][engine] if engine in query["seconds"] else "-" for engine in ENGINES]
            rows.append([name, number(query["rows"]), *cells, "%.2f" % query["ratio"] if query["ratio"] else "wrong"])
        lines += ["### %s rows, seconds" % number(run["rows"]), ""] + table(["query", "rows", *ENGINES, "Turnstone / best peer"], rows)
        for name, query in run["queries"].items():
            lines += ["- %s: %s" % (name, fault) for fault in query["wrong"]]
        if lines[-1]:
            lines.append("")
    return lines


def small_section(runs):
    lines = ["## A small batch on an idle server", ""]
    if not runs:
        return lines + ["Not measured.", ""]
    run = runs[-1]
    lines += [
        "%d batches of %d alerts, one after the other on one connection, each after a write of %d KiB and an `fdatasync` on the" % (
            run["batches"], run["batch_rows"], run["sync_bytes"] >> 10),
        "same file system, which is what the disk alone takes. A batch is on disk when it is answered. " + when(runs),
        "",
    ]
    lines += table(["milliseconds", "p50", "p99"], [
        [name, "%.2f" % (run[key]["p50_seconds"] * 1e3), "%.2f" % (run[key]["p99_seconds"] * 1e3)]
        for name, key in (("a batch", "batch"), ("write and sync", "sync"))])
    lines += [
        "Both of a batch may be %d times the p99 of a sync and %.0f ms, which is %.2f ms: %s." % (
            latency.SYNC_FACTOR, latency.ALLOWANCE_SECONDS * 1e3, run["bound_seconds"] * 1e3,
            "they are" if run["holds"] else "**they are not**"),
        "",
    ]
    return lines


def growth_ratios(runs, span, name):
    """A query's time over that of the next smaller number of rows, for each but the first; none where one failed."""
    answers = [run[span][name] for run in runs]
    return [
        None if "error" in before or "error" in after else after["seconds"] / before["seconds"]
        for before, after in zip(answers, answers[1:])]


def growth_verdict(runs, span):
    """Whether no query takes too long when the history grows, and by how much the worst does."""
    worst, left_out = 1.0, False
    for name in growth.QUERIES:
        answers = [run[span][name] for run in runs]
        for before, after in zip(answers, answers[1:]):
            if "error" in before or "error" in after:
                return "**some could not be asked**"
            ratio = after["seconds"] / before["seconds"]
            if after["seconds"] - before["seconds"] < growth.NOISE_SECONDS:
                left_out |= ratio > growth.RATIO_MAX
            else:
                worst = max(worst, ratio)
    verdict = "the most is %.3f" % worst if worst <= growth.RATIO_MAX else "**some take longer, up to %.3f**" % worst
    if left_out:
        verdict += ", differences of less than %g ms left out" % (1000 * growth.NOISE_SECONDS)
    return verdict


def growth_section(runs, has_plot):
    lines = ["## Growth", ""]
    if not runs:
        return lines + ["Not measured.", ""]
    rows_per_day = number(runs[0]["rows_per_day"])
    lines += [
        "Alerts in order of time, %s a day, over ever more days; each number of rows on a server of its own. They are made" % rows_per_day,
        "while they are sent, by the process that sends them, on the same cores. Questions are asked once all rows are in table",
        "files and the server is at rest. " + when(runs),
        "",
    ]
    if has_plot:
        lines += ["![Seconds of queries and bytes on disk by number of rows](%s)" % PLOT, ""]

    def row(name, cell):
        return [name] + [cell(run) for run in runs]

    def memory(run, moment, which):
        return megabytes(run["memory_bytes"][moment][which])

    heads = [number(run["rows"]) for run in runs]
    lines += table(["rows"] + heads, [
        row("days", lambda run: number(run["days"])),
        row("JSON, MB", lambda run: megabytes(run["json_bytes"])),
        row("load, rows/s", lambda run: f"{run['rows'] / run['seconds']:,.0f}"),
        row("load, JSON MB/s", lambda run: "%.1f" % (run["json_bytes"] / run["seconds"] / 1e6)),
        row("load, seconds until all rows can be queried", lambda run: "%.1f" % run["seconds"]),
        row("of these, one core making rows", lambda run: "%.1f" % run["making_cpu_seconds"]),
        row("load, seconds until all are in table files", lambda run: or_more(run["in_files_seconds"])),
        row("load, seconds until these have their side files", lambda run: or_more(run["side_files_seconds"])),
        row("seconds from then until the server is at rest", lambda run: or_more(run["at_rest_seconds"])),
        row("on disk, MB", lambda run: megabytes(run["disk_bytes"]["in_files"])),
        row("on disk at rest, MB", lambda run: megabytes(run["disk_bytes"]["at_rest"])),
        row("on disk, bytes a row", lambda run: "%.1f" % (run["disk_bytes"]["in_files"] / run["rows"])),
        row("resident memory after loading, MB", lambda run: memory(run, "loaded", "now")),
        row("resident memory after the queries, MB", lambda run: memory(run, "asked", "now")),
        row("resident memory at most, MB", lambda run: memory(run, "asked", "peak")),
    ])
    spans = (("recent", "The last %d days" % growth.RECENT_DAYS), ("all", "The whole history"))
    for span, title in spans:
        rows = []
        for name in growth.QUERIES:
            ratios = ["-" if ratio is None else "%.2f" % ratio for ratio in growth_ratios(runs, span, name)]
            rows.append([name] + [seconds_text(run[span][name]) for run in runs] + ratios)
        ratio_heads = [
            "%s / %s" % (plot.short(after["rows"]), plot.short(before["rows"])) for before, after in zip(runs, runs[1:])]
        lines += ["### %s, seconds" % title, ""] + table(["query"] + heads + ratio_heads, rows)
        failed = [
            fault for run in runs
            for fault in faults((number(run["rows"]) + " rows, " + name, answer) for name, answer in run[span].items())]
        if failed:
            lines += failed + [""]
        if span == "recent" and len(runs) > 1:
            lines += [
                "What is asked of the last days may take %.1f times as long when the history grows to the next number of rows: %s." % (
                    growth.RATIO_MAX, growth_verdict(runs, span)),
                "",
            ]
    lines += ["### The first answers after a restart, of the whole history, seconds", ""] + table(["query"] + heads, [
        [name] + [seconds_text(run["first"][name]) for run in runs] for name in growth.FIRST])
    queries = [query % "SecurityAlert" for query in {**growth.QUERIES, **growth.FIRST}.values()]
    lines += ["The queries (`ID` is the id of the newest alert):", "", "```kusto"] + queries + ["```", ""]
    return lines


def growth_plot(runs):
    def points(span, name):
        return [(run["rows"], run[span][name]["seconds"]) for run in runs if "error" not in run[span][name]]

    seconds = {name: (points("recent", name), points("all", name)) for name in growth.QUERIES}
    disk_bytes = [(run["rows"], run["disk_bytes"]["in_files"]) for run in runs]
    return plot.growth("What a longer history costs", "the last %d days" % growth.RECENT_DAYS, seconds, disk_bytes)


def samples_section(runs):
    lines = ["## The five sample queries", ""]
    if not runs:
        return lines + ["Not measured.", ""]
    run = runs[-1]
    lines += ["Sent by two connections; rows are made before. " + when(runs), ""]
    lines += table(["table", "rows", "MB", "seconds", "rows/s", "MB/s"], [
        [name, number(loaded["rows"]), megabytes(loaded["json_bytes"]), "%.1f" % loaded["seconds"],
         f"{loaded['rows'] / loaded['seconds']:,.0f}", "%.1f" % (loaded["json_bytes"] / loaded["seconds"] / 1e6)]
        for name, loaded in run["tables"].items()])
    lines += ["On disk once all rows are in table files: %s MB." % megabytes(run["disk_bytes"]), ""]
    lines += table(["query", "rows", "seconds"], [
        [name, number(answer["rows"]) if "rows" in answer else "-", seconds_text(answer, "%.3f")]
        for name, answer in run["queries"].items()])
    failed = faults(run["queries"].items())
    return lines + (failed + [""] if failed else [])


def portal_section(runs):
    lines = ["## The portal", ""]
    if not runs:
        return lines + ["Not measured.", ""]
    run = runs[-1]
    lines += ["The first look at the overview of a server with %s alerts of %s days, in Chromium on the same machine, with nothing in"
              % (number(run["rows"]), number(run["days"])),
              "the browser's cache; medians of %d looks. It shows the last 7 days: %s. %s" % (run["runs"], run["shown"], when(runs)), ""]
    lines += table(["", "measured", "at most"], [
        ["seconds until a person can go to a page", "%.2f (the slowest %.2f)" % (run["interactive_seconds"], run["interactive_seconds_max"]),
         "%.1f" % portal.INTERACTIVE_SECONDS_MAX],
        ["seconds until every tile shows its numbers", "%.2f" % run["complete_seconds"], "-"],
        ["bytes that come", number(run["bytes"]), number(portal.BYTES_MAX)]])
    return lines


def write(parts, path):
    """Writes the Markdown, and the plot beside it."""
    runs = parts.get("growth", [])
    svg = growth_plot(runs)
    if svg:
        with open(os.path.join(os.path.dirname(path), PLOT), "w") as file:
            file.write(svg)
    lines = [
        "# Performance",
        "",
        "Written by `make bench`. Rows are JSON lines over HTTP, in batches of about 4 MiB where nothing else is said; each batch",
        "is on disk and can be queried before it is answered. Times of queries are medians of %d runs, of more where runs are short, after one to warm up, from" % WARM_RUNS,
        "sending the question to the last byte of the answer: HTTP, planning, execution and JSON included.",
        "",
        *machines(parts),
        "",
        *peers_section(parts.get("peers", [])),
        *small_section(parts.get("small", [])),
        *growth_section(runs, svg is not None),
        *samples_section(parts.get("samples", [])),
        *portal_section(parts.get("portal", [])),
    ]
    with open(path, "w") as file:
        file.write("\n".join(lines).rstrip() + "\n")
