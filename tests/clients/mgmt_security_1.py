"""Calls azure-mgmt-security 1.0.0, which needs a Python environment of its own, for test_mgmt_security_1.py.

Standard input is JSON: {"url", "subscription", "token", "calls": [{"operations", "method", "arguments"}]}. Standard
output is a JSON list with what each call gave: {"pages"} of a list in pages, {"items"} of one without, {"item"}, or
{"error", "status"}.
"""

import json
import sys
import time

from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError
from azure.core.paging import ItemPaged
from azure.mgmt.security import SecurityCenter


class Credential:
    def __init__(self, token: str):
        self.token = token

    def get_token(self, *scopes, **options) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)


def told(found) -> dict:
    """What a call gave, as JSON can say it."""
    if isinstance(found, ItemPaged):
        return {"pages": [[one.as_dict() for one in page] for page in found.by_page()]}
    if hasattr(found, "value"):
        return {"items": [one.as_dict() for one in found.value]}
    return {"item": found.as_dict() if found is not None else None}


def call(client: SecurityCenter, operations: str, method: str, arguments: dict) -> dict:
    try:
        return told(getattr(getattr(client, operations), method)(**arguments))
    except AzureError as error:
        return {"error": type(error).__name__, "status": getattr(error, "status_code", None)}


def main():
    asked = json.load(sys.stdin)
    client = SecurityCenter(
        Credential(asked["token"]),
        asked["subscription"],
        "local",
        base_url=asked["url"],
        credential_scopes=[f"{asked['url']}/.default"],
    )
    json.dump([call(client, **one) for one in asked["calls"]], sys.stdout)


if __name__ == "__main__":
    main()
