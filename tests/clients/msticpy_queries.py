"""What an analyst does in a notebook with msticpy; reads what to ask from standard input, prints what came of it.

MSTICPYCONFIG names the settings, and AZURE_TENANT_ID is set; who signs in is given with each list of questions.
"""

import contextlib
import json
import os
import sys

# All that the package prints by itself is kept away from the answer.
with contextlib.redirect_stdout(sys.stderr):
    import msticpy
    from msticpy.data import QueryProvider


def sign_in(principal: dict):
    os.environ["AZURE_CLIENT_ID"] = principal["appId"]
    os.environ["AZURE_CLIENT_SECRET"] = principal["secret"]


def rows(frame) -> list[dict]:
    return json.loads(frame.to_json(orient="records", date_format="iso"))


def attempt(work):
    """What `work` returns, or the names of its error's classes and its text."""
    try:
        return work()
    except Exception as error:
        return {"error": [kind.__name__ for kind in type(error).__mro__], "text": str(error)}


def sentinel(asked: dict) -> dict:
    provider = QueryProvider("MSSentinel")
    span = {"start": asked["start"], "end": asked["end"]}

    def named(name: str, **parameters):
        query = getattr(provider.SecurityAlert, name)
        return attempt(lambda: rows(query(start=asked["start"], end=asked["end"], **parameters)))

    def partial():
        answer = provider.exec_query(asked["too_much"], fail_on_partial=False)
        return len(answer)

    provider.connect()
    return {
        "schema": provider.schema,
        "all": rows(provider.exec_query(asked["query"])),
        "types": {name: str(kind) for name, kind in provider.exec_query(asked["query"]).dtypes.items()},
        "within": rows(provider.exec_query(asked["query"], time_span=span)),
        "partial": attempt(partial),
        "refused": [attempt(lambda query=query: rows(provider.exec_query(query))) for query in asked["bad"]],
        "list_alerts": named("list_alerts"),
        "list_alerts_counts": named("list_alerts_counts"),
        "list_related_alerts": named("list_related_alerts", host_name=asked["host"]),
        "list_alerts_for_ip": named("list_alerts_for_ip", source_ip_list=asked["address"]),
    }


def kusto(asked: dict) -> dict:
    provider = QueryProvider("Kusto")
    provider.connect(cluster=asked["cluster"], database="default")
    return {
        "databases": provider.get_database_names(),
        "schema": provider.get_database_schema(),
        "all": rows(provider.exec_query(asked["query"])),
        "refused": [attempt(lambda query=query: rows(provider.exec_query(query))) for query in asked["bad"]],
        "change": attempt(lambda: rows(provider.exec_query(asked["change"]))),
    }


def stranger(asked: dict) -> dict:
    """What one sees who may sign in and has no role."""

    def of_workspace():
        provider = QueryProvider("MSSentinel")
        provider.connect()
        return {"schema": provider.schema, "query": attempt(lambda: rows(provider.exec_query(asked["query"])))}

    def of_cluster():
        provider = QueryProvider("Kusto")
        provider.connect(cluster=asked["cluster"], database="default")
        return rows(provider.exec_query(asked["query"]))

    return {"sentinel": attempt(of_workspace), "kusto": attempt(of_cluster)}


def impostor(asked: dict):
    provider = QueryProvider("MSSentinel")
    provider.connect()
    return rows(provider.exec_query(asked["query"]))


def main():
    asked = json.load(sys.stdin)
    given = {"version": msticpy.__version__}
    with contextlib.redirect_stdout(sys.stderr):
        sign_in(asked["reader"])
        given["sentinel"] = attempt(lambda: sentinel(asked["sentinel"]))
        given["kusto"] = attempt(lambda: kusto(asked["kusto"]))
        sign_in(asked["stranger"])
        given["stranger"] = stranger(asked["kusto"])
        sign_in({"appId": asked["reader"]["appId"], "secret": "wrong"})
        given["impostor"] = attempt(lambda: impostor(asked["kusto"]))
    print(json.dumps(given))


main()
