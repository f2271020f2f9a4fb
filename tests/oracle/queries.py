"""Queries made from a grammar: types fit most of the time, and sometimes do not.

Not made is `getschema`, whose ColumnOrdinal is an int to the engine and a long to the service."""

import random

TABLES = {
    "T": "(S: string, S2: string, L: long, I: int, R: real, B: bool, D: datetime, P: timespan, G: guid, Dy: dynamic)",
    "U": "(L: long, S: string, Name: string, When: datetime, Score: real)",
}
COLUMNS = {
    table: [tuple(part.strip() for part in column.split(":")) for column in schema.strip("()").split(",")]
    for table, schema in TABLES.items()
}
TYPES = ["string", "long", "int", "real", "bool", "datetime", "timespan", "dynamic"]
#: Of so many expressions one has a type that may not fit.
MISFITS = 40


class Grammar:
    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.columns: list[tuple[str, str]] = []
        self.made = 0
        self.has_implicit = False

    def pick(self, options):
        return self.random.choice(options)

    def name(self) -> str:
        self.made += 1
        return f"c{self.made}"

    def literal(self, of: str) -> str:
        return {
            "string": lambda: self.pick(['"a"', "'b c'", '@"d\\e"', '""']),
            "long": lambda: self.pick(["1", "42", "-7", "long(null)", "0x1f"]),
            "int": lambda: self.pick(["int(3)", "int(null)"]),
            "real": lambda: self.pick(["1.5", "real(nan)", "2e3"]),
            "bool": lambda: self.pick(["true", "false"]),
            "datetime": lambda: self.pick(["datetime(2024-01-02)", "now()", "ago(1d)"]),
            "timespan": lambda: self.pick(["1h", "30s", "time(1.02:00:00)"]),
            "guid": lambda: "guid(74be27de-1e4e-49d9-b579-fe0b331d3642)",
            "dynamic": lambda: self.pick(['dynamic({"a": 1})', "dynamic([1, 2])", "dynamic(null)"]),
        }[of]()

    def expression(self, of: str, depth: int = 2) -> str:
        if self.random.randrange(MISFITS) == 0:
            of = self.pick(TYPES)
        fitting = [name for name, kind in self.columns if kind == of]
        if depth == 0 or self.random.random() < 0.35:
            return self.pick(fitting) if fitting and self.random.random() < 0.75 else self.literal(of)
        return self.pick(self.forms(of))(lambda kind: self.expression(kind, depth - 1))

    def forms(self, of: str):
        """The ways to write a value of a type; each takes a maker of values of other types."""
        anything = lambda e: e(self.pick(TYPES))  # noqa: E731
        return {
            "string": [
                lambda e: f"strcat({e('string')}, {anything(e)})",
                lambda e: f"tolower({e('string')})",
                lambda e: f"substring({e('string')}, {e('long')}, 2)",
                lambda e: f"tostring({anything(e)})",
                lambda e: f"extract('a(b)', 1, {e('string')})",
                lambda e: f"replace_string({e('string')}, 'a', {e('string')})",
                lambda e: f"trim('x', {e('string')})",
                lambda e: f"iff({e('bool')}, {e('string')}, {e('string')})",
                lambda e: f"format_datetime({e('datetime')}, 'yyyy-MM')",
                lambda e: f"strcat_array({e('dynamic')}, ',')",
                lambda e: f"coalesce({e('string')}, {e('string')})",
                lambda e: f"gettype({anything(e)})",
            ],
            "long": [
                lambda e: f"{e('long')} + {e('long')}",
                lambda e: f"({e('long')} * {e('long')})",
                lambda e: f"strlen({e('string')})",
                lambda e: f"tolong({anything(e)})",
                lambda e: f"array_length({e('dynamic')})",
                lambda e: f"countof({e('string')}, 'a')",
                lambda e: f"datetime_diff('day', {e('datetime')}, {e('datetime')})",
                lambda e: f"bin({e('long')}, 10)",
                lambda e: f"abs({e('long')})",
                lambda e: f"case({e('bool')}, {e('long')}, {e('bool')}, {e('long')}, {e('long')})",
                lambda e: f"{e('long')} % 7",
                lambda e: f"hash({anything(e)})",
            ],
            "int": [lambda e: f"toint({anything(e)})", lambda e: f"dayofyear({e('datetime')})"],
            "real": [
                lambda e: f"{e('real')} / {e('real')}",
                lambda e: f"{e('real')} - {e('long')}",
                lambda e: f"todouble({anything(e)})",
                lambda e: f"sqrt({e('real')})",
                lambda e: f"round({e('real')}, 2)",
                lambda e: f"pow({e('real')}, 2)",
            ],
            "bool": [
                lambda e: f"{e('long')} > {e('long')}",
                lambda e: f"{e('string')} == {e('string')}",
                lambda e: f"{e('string')} has {e('string')}",
                lambda e: f"{e('string')} !contains {e('string')}",
                lambda e: f"{e('string')} in~ ('a', 'b')",
                lambda e: f"{e('datetime')} between (ago(2d) .. now())",
                lambda e: f"({e('bool')} and {e('bool')})",
                lambda e: f"not({e('bool')})",
                lambda e: f"isempty({anything(e)})",
                lambda e: f"isnotnull({anything(e)})",
                lambda e: f"{e('string')} matches regex '^a'",
                lambda e: f"{e('timespan')} <= {e('timespan')}",
                lambda e: f"{e('string')} has_any ('a', 'b')",
            ],
            "datetime": [
                lambda e: f"bin({e('datetime')}, 1h)",
                lambda e: f"startofday({e('datetime')})",
                lambda e: f"{e('datetime')} + {e('timespan')}",
                lambda e: f"todatetime({e('string')})",
                lambda e: f"datetime_add('hour', 1, {e('datetime')})",
            ],
            "timespan": [
                lambda e: f"({e('datetime')} - {e('datetime')})",
                lambda e: f"{e('timespan')} + {e('timespan')}",
                lambda e: f"totimespan({e('string')})",
                lambda e: f"{e('timespan')} * 2",
            ],
            "dynamic": [
                lambda e: "Dy.a" if ("Dy", "dynamic") in self.columns else e("dynamic"),
                lambda e: "Dy['b'][0]" if ("Dy", "dynamic") in self.columns else e("dynamic"),
                lambda e: f"parse_json({e('string')})",
                lambda e: f"pack_array({anything(e)}, {anything(e)})",
                lambda e: f"bag_pack('k', {anything(e)})",
                lambda e: f"split({e('string')}, ',')",
                lambda e: f"array_concat({e('dynamic')}, {e('dynamic')})",
            ],
        }[of]

    def aggregate(self) -> str:
        e = self.expression
        return self.pick(
            [
                lambda: "count()",
                lambda: f"countif({e('bool')})",
                lambda: f"sum({e(self.pick(['long', 'real', 'timespan']))})",
                lambda: f"avg({e(self.pick(['long', 'real']))})",
                lambda: f"min({e(self.pick(['long', 'datetime', 'string']))})",
                lambda: f"max({e(self.pick(['long', 'real', 'timespan']))})",
                lambda: f"dcount({e(self.pick(TYPES))})",
                lambda: f"make_set({e(self.pick(['string', 'long']))})",
                lambda: f"make_list({e('long')}, 10)",
                lambda: f"take_any({e('string')})",
                lambda: f"percentile({e('long')}, 95)",
                lambda: f"stdev({e('real')})",
                lambda: f"sumif({e('long')}, {e('bool')})",
                lambda: f"arg_max({e('datetime')}, {e('string')}, {e('long')})",
            ]
        )()

    def column(self) -> str:
        return self.pick([name for name, _ in self.columns])

    def named(self) -> tuple[str, str, str]:
        """A new name, its type, and what it is."""
        of = self.pick(TYPES)
        return self.name(), of, self.expression(of)

    def operator(self) -> str:
        kind = self.pick(
            ["where", "extend", "project", "summarize", "distinct", "top", "sort", "take", "join", "lookup", "union"]
            + ["mv-expand", "project-away", "project-rename", "parse", "count", "serialize", "implicit", "reorder"]
        )
        if kind == "where":
            return f"where {self.expression('bool')}"
        if kind == "extend":
            name, of, value = self.named()
            self.columns.append((name, of))
            return f"extend {name} = {value}"
        if kind == "project":
            made = [self.named() for _ in range(self.random.randint(1, 3))]
            kept = self.random.sample(self.columns, min(2, len(self.columns)))
            self.columns = [*kept, *((name, of) for name, of, _ in made)]
            return "project " + ", ".join([*(n for n, _ in kept), *(f"{n} = {v}" for n, _, v in made)])
        if kind == "summarize":
            name, key = self.name(), self.name()
            of = self.pick(["string", "long", "bool", "datetime"])
            text = f"summarize {name} = {self.aggregate()}, {self.aggregate()} by {key} = {self.expression(of)}"
            if self.random.random() < 0.5:
                text = f"summarize {self.aggregate()} by {key} = {self.expression(of)}"
            self.columns = [(key, of)]
            return text
        if kind == "implicit":
            # Twice in one query the numbers of names go on for the service, and begin anew here.
            if self.has_implicit:
                return "take 8"
            self.has_implicit = True
            text = f"project {self.expression(self.pick(TYPES))}, {self.expression(self.pick(TYPES))}, k = {self.expression('long')}"
            self.columns = [("k", "long")]
            return text
        if kind == "distinct":
            kept = self.random.sample(self.columns, min(2, len(self.columns)))
            self.columns = kept
            return "distinct " + ", ".join(name for name, _ in kept)
        if kind == "top":
            return f"top 3 by {self.column()} {self.pick(['asc', 'desc', ''])}"
        if kind == "sort":
            return f"sort by {self.column()} {self.pick(['asc', 'desc', 'asc nulls last', ''])}"
        if kind == "take":
            return "take 5"
        if kind in ("join", "lookup"):
            if ("L", "long") not in self.columns:
                return "take 1"
            flavor = self.pick(["inner", "leftouter", "leftanti", "rightouter", "fullouter", "innerunique", "leftsemi"])
            flavor = flavor if kind == "join" else "leftouter"
            if flavor == "leftouter" or flavor == "inner":
                self.columns = [c for c in self.columns if c[0] not in ("S",)] + [("Name", "string")]
            elif flavor not in ("leftanti", "leftsemi"):
                self.columns = [("L", "long")]
            return f"{kind} kind={flavor} (U | where {self.over('U', 'bool')}) on L"
        if kind == "union":
            if self.random.random() < 0.5:
                return "take 2"
            self.columns = [c for c in self.columns if c in [("L", "long"), ("S", "string")]] or [("Name", "string")]
            return "union U"
        if kind == "mv-expand":
            if ("Dy", "dynamic") not in self.columns:
                return "take 3"
            to = self.pick(["string", "long", None])
            if to:
                self.columns = [c for c in self.columns if c[0] != "Dy"] + [("Dy", to)]
            return "mv-expand Dy" + (f" to typeof({to})" if to else "")
        if kind == "project-away":
            if len(self.columns) < 3:
                return "take 4"
            gone = self.column()
            self.columns = [c for c in self.columns if c[0] != gone]
            return f"project-away {gone}"
        if kind == "project-rename":
            old, new = self.column(), self.name()
            self.columns = [(new if n == old else n, of) for n, of in self.columns]
            return f"project-rename {new} = {old}"
        if kind == "parse":
            texts = [name for name, of in self.columns if of == "string"]
            if not texts:
                return "take 6"
            first, second = self.name(), self.name()
            self.columns += [(first, "string"), (second, "long")]
            return f"parse {self.pick(texts)} with * 'a' {first} 'b' {second}: long *"
        if kind == "serialize":
            name = self.name()
            self.columns.append((name, "long"))
            return f"serialize {name} = row_number()"
        if kind == "reorder":
            if len(self.columns) < 2:
                return "take 7"
            return f"project-reorder {self.column()}, *"
        self.columns = [("Count", "long")]
        return "count"

    def over(self, table: str, of: str) -> str:
        """An expression over another table."""
        saved, self.columns = self.columns, list(COLUMNS[table])
        text = self.expression(of, 1)
        self.columns = saved
        return text

    def query(self) -> str:
        self.columns = list(COLUMNS["T"])
        self.has_implicit = False
        steps = [self.operator() for _ in range(self.random.randint(1, 4))]
        text = "T | " + " | ".join(steps)
        if self.random.random() < 0.15:
            text = f"let f = (x: long) {{ x + {self.random.randint(1, 9)} }}; {text} | extend called = f(1)"
        return text


def queries(count: int, seed: int = 1) -> list[str]:
    """Different queries, the same ones for the same seed."""
    found: dict[str, None] = {}
    grammar = Grammar(seed)
    while len(found) < count:
        found.setdefault(grammar.query())
    return list(found)
