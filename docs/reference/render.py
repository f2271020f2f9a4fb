"""Renders the specifications of the query language as reference pages. `--check` writes nothing and fails where a page
is not what the specification says."""

import argparse
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPECIFICATIONS = ROOT / "crates/engine/tests/spec"
PAGES = ROOT / "docs/reference/kql"
NOTE = "<!-- Rendered from crates/engine/tests/spec/{name}; `make reference` does it. -->\n\n"


def cells(row: str) -> list[str]:
    row = row.strip().removeprefix("|").removesuffix("|").replace("\\|", "\0")
    return [cell.strip().replace("\0", "\\|") for cell in row.split("|")]


def table(rows: list[str]) -> list[str]:
    """A table of the specification: names, types, then rows. In Markdown the types stand by the names."""
    names, types, *values = [cells(row) for row in rows]
    head = [f"{name} *{kind}*" for name, kind in zip(names, types)]
    lines = [head, ["--"] * len(head), *values]
    return ["| " + " | ".join(line) + " |" for line in lines]


def page(text: str) -> str:
    out: list[str] = []
    lines = iter(text.splitlines())
    pending: list[str] = []

    def flush():
        if len(pending) >= 2:
            out.extend(table(pending))
        else:
            out.extend(pending)
        pending.clear()

    for line in lines:
        if line.startswith("|"):
            pending.append(line)
            continue
        flush()
        if not line.startswith("```"):
            out.append(line)
            continue
        block = []
        for inner in lines:
            if inner == "```":
                break
            block.append(inner)
        if line == "```error":
            out.append("Refused: " + " ".join(f"`{part}`" for part in block))
            continue
        if line == "```kql setup":
            out.extend(["The examples below begin with this:", ""])
        out.extend(["```kql", *block, "```"])
    flush()
    return "\n".join(out).rstrip() + "\n"


def rendered() -> dict[str, str]:
    pages = {}
    titles = []
    for path in sorted(SPECIFICATIONS.glob("*.md")):
        text = path.read_text()
        pages[path.name] = NOTE.format(name=path.name) + page(text)
        titles.append((text.splitlines()[0].removeprefix("# "), path.name))
    index = ["# The query language", "", "What each part does, by examples that are tests too.", ""]
    index += [f"- [{title}]({name})" for title, name in sorted(titles, key=lambda t: t[0].lower())]
    pages["README.md"] = NOTE.format(name="") + "\n".join(index) + "\n"
    return pages


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    pages = rendered()
    found = {path.name: path.read_text() for path in PAGES.glob("*.md")}
    stale = sorted(name for name in pages.keys() | found.keys() if pages.get(name) != found.get(name))
    if check:
        for name in stale:
            print(f"docs/reference/kql/{name} is not what the specification says; run 'make reference'", file=sys.stderr)
        return 1 if stale else 0
    PAGES.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in pages:
            (PAGES / name).write_text(pages[name])
        else:
            (PAGES / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
