"""Who may do what: people and programs, how they sign in, what their roles reach, and the audit of it."""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import shutil
import ssl
import struct
import time
import urllib.parse
import uuid
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from security_messages import message, process_start
from turnstone_server import Answer, Device, Server, turnstone, wait_until

WORKSPACE = "Microsoft.OperationalInsights/workspaces"
RULE = "Microsoft.Insights/dataCollectionRules"
HUB = "Microsoft.Devices/IotHubs"
SOLUTION = "Microsoft.Security/iotSecuritySolutions"
READER, CONTRIBUTOR = "Log Analytics Reader", "Log Analytics Contributor"
PASSWORD = "correct horse battery"
#: So many wrong passwords are borne before a name is locked out.
ATTEMPTS_MAX = 20
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent")


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def accepted(answer: Answer, *statuses: int):
    """The body of an answer that must have one of these statuses."""
    assert answer.status in (statuses or (200, 201, 204)), f"{answer.status} {answer.text}"
    return answer.json if answer.body else None


def subscription(server: Server) -> str:
    """Its id, `/subscriptions/{guid}`."""
    return server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]["id"]


def resource_id(server: Server, of: str, name: str, group: str = "default") -> str:
    return f"{subscription(server)}/resourceGroups/{group}/providers/{of}/{name}"


def at(path: str) -> str:
    return f"{path}?api-version=2023-03-11"


class Client:
    """Somebody who shows a token with every request."""

    def __init__(self, server: Server, token: str):
        self.server, self.token = server, token

    def ask(self, method: str, path: str, body=None, **headers: str) -> Answer:
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **headers}
        return self.server.request(method, path, body, sent)

    def kusto(self, query: str, database: str = "default") -> Answer:
        return self.ask("POST", "/v1/rest/query", {"db": database, "csl": query})

    def manage(self, command: str, database: str = "default") -> Answer:
        return self.ask("POST", "/v1/rest/mgmt", {"db": database, "csl": command})

    def logs(self, query: str, workspace: str, **more) -> Answer:
        return self.ask("POST", f"/v1/workspaces/{workspace}/query", {"query": query, **more})


class Program(Client):
    """A service principal that has signed in with its first secret."""

    def __init__(self, server: Server):
        made = accepted(server.admin("POST", "/api/v1/servicePrincipals", {"displayName": unique("program")}), 201)
        self.id, self.app_id, self.secret = made["id"], made["appId"], made["secret"]["secretText"]
        super().__init__(server, self.sign_in(server).json["access_token"])

    def sign_in(self, server: Server, secret: str | None = None, secure: bool = True) -> Answer:
        form = {
            "client_id": self.app_id,
            "client_secret": secret or self.secret,
            "grant_type": "client_credentials",
            "scope": "https://anything/.default",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return server.request("POST", "/adfs/oauth2/token", urllib.parse.urlencode(form), headers, secure=secure)


def assign(server: Server, principal_id: str, role: str, scope: str) -> str:
    body = {"principalId": principal_id, "role": role, "scope": scope}
    return accepted(server.admin("POST", "/api/v1/roleAssignments", body), 201)["id"]


def program(server: Server, *grants: tuple[str, str]) -> Program:
    made = Program(server)
    for role, scope in grants:
        assign(server, made.id, role, scope)
    return made


class Browser:
    """A person who signs in over https and whose browser keeps the cookie."""

    def __init__(self, server: Server):
        self.server, self.cookie = server, None

    def ask(self, method: str, path: str, body=None, **headers: str) -> Answer:
        sent = {"Content-Type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}}
        if self.cookie:
            sent["Cookie"] = self.cookie
        return self.server.request(method, path, None if body is None else json.dumps(body), sent, secure=True)

    def sign_in(self, name: str, password: str = PASSWORD, code: str | None = None) -> Answer:
        body = {"name": name, "password": password, **({"code": code} if code else {})}
        answer = self.ask("POST", "/api/v1/session", body)
        if answer.status == 204:
            self.cookie = answer.headers["set-cookie"].split(";")[0]
        return answer

    def is_signed_in(self) -> bool:
        answer = self.ask("GET", "/api/v1/session")
        assert answer.status in (200, 401), answer.text
        return answer.status == 200


def make_user(server: Server, *grants: tuple[str, str]) -> str:
    name = unique("ann")
    made = accepted(server.admin("POST", "/api/v1/users", {"name": name, "password": PASSWORD}), 201)
    for role, scope in grants:
        assign(server, made["id"], role, scope)
    return name


def signed_in(server: Server, *grants: tuple[str, str]) -> tuple[str, Browser]:
    name, browser = make_user(server, *grants), Browser(server)
    accepted(browser.sign_in(name), 204)
    return name, browser


# People


def test_a_session_is_a_cookie_that_no_script_and_no_other_site_sees(server):
    name, browser = make_user(server), Browser(server)
    answer = browser.sign_in(name)
    assert answer.status == 204 and answer.body == b""
    first, *attributes = [part.strip() for part in answer.headers["set-cookie"].split(";")]
    key, value = first.split("=", 1)
    assert key == "turnstone-session" and len(value) > 40
    lower = {attribute.lower() for attribute in attributes}
    assert {"httponly", "secure", "samesite=strict", "path=/"} <= lower
    assert not any(attribute.startswith("domain") for attribute in lower)
    shown = accepted(browser.ask("GET", "/api/v1/session"), 200)
    assert shown["principal"]["name"] == name and shown["roles"] == []
    assert PASSWORD not in json.dumps(shown)


def test_a_session_carries_the_roles_of_its_user(server):
    scope = resource_id(server, WORKSPACE, "default")
    _, browser = signed_in(server, (READER, scope))
    assert accepted(browser.ask("GET", "/api/v1/session"), 200)["roles"] == [{"role": READER, "scope": scope}]
    query = {"db": "default", "csl": "print 6 * 7"}
    assert accepted(browser.ask("POST", "/v1/rest/query", query), 200)["Tables"][0]["Rows"] == [[42]]
    assert browser.ask("POST", "/v1/rest/mgmt", {"db": "default", "csl": ".create table T (A: long)"}).status == 403


def test_wrong_passwords_and_unknown_names_are_refused_alike(server):
    name, browser = make_user(server), Browser(server)
    wrong, unknown = browser.sign_in(name, PASSWORD + "x"), browser.sign_in(unique("nobody"))
    assert wrong.status == unknown.status == 401
    assert wrong.json == unknown.json and "set-cookie" not in wrong.headers
    assert browser.sign_in(name.upper()).status == 204, "names are the same in any case"


@pytest.mark.parametrize("password", ["", "short", "x" * 2000])
def test_a_password_that_is_none_is_refused(server, password):
    name = make_user(server)
    assert server.admin("PATCH", f"/api/v1/users/{name}", {"password": password}).status == 400
    assert server.admin("POST", "/api/v1/users", {"name": unique("bob"), "password": password}).status == 400
    assert Browser(server).sign_in(name).status == 204


def test_a_name_is_locked_out_after_many_wrong_passwords_until_it_gets_a_new_one(server):
    name, other = make_user(server), make_user(server)
    browser = Browser(server)
    statuses = []
    while 429 not in statuses and len(statuses) < ATTEMPTS_MAX:
        answer = browser.sign_in(name, "a wrong password")
        statuses.append(answer.status)
    assert statuses == [401] * (len(statuses) - 1) + [429] and len(statuses) > 5
    assert 0 < int(answer.headers["retry-after"]) <= 15 * 60
    # Nor does the right one help now; others are not held up.
    assert browser.sign_in(name).status == 429
    assert Browser(server).sign_in(other).status == 204
    accepted(server.admin("PATCH", f"/api/v1/users/{name}", {"password": "another long password"}))
    assert browser.sign_in(name).status == 401
    assert browser.sign_in(name, "another long password").status == 204


def test_a_session_ends_when_its_user_signs_out(server):
    name, browser = signed_in(server)
    elsewhere = Browser(server)
    accepted(elsewhere.sign_in(name), 204)
    answer = browser.ask("DELETE", "/api/v1/session")
    assert answer.status == 204 and "max-age=0" in answer.headers["set-cookie"].lower()
    assert not browser.is_signed_in() and elsewhere.is_signed_in()


@pytest.mark.parametrize(
    "change", [{"password": "another long password"}, {"isEnabled": False}], ids=["new password", "disabled"]
)
def test_all_sessions_of_a_user_end_with_a_new_password_and_when_it_is_disabled(server, change):
    name, browser = signed_in(server)
    _, other = signed_in(server)
    accepted(server.admin("PATCH", f"/api/v1/users/{name}", change), 200)
    assert not browser.is_signed_in() and other.is_signed_in()
    assert Browser(server).sign_in(name).status == 401


def test_the_sessions_and_tokens_of_a_user_that_is_deleted_are_good_no_more(server):
    name, browser = signed_in(server)
    token = accepted(browser.ask("POST", "/api/v1/tokens", {"name": "mine"}), 201)["token"]
    assert Client(server, token).ask("GET", "/api/v1/tokens").status == 200
    accepted(server.admin("DELETE", f"/api/v1/users/{name}"), 204)
    assert not browser.is_signed_in()
    assert Client(server, token).ask("GET", "/api/v1/tokens").status == 401


def test_the_tokens_of_a_user_who_is_disabled_are_good_no_more(server):
    name, browser = signed_in(server)
    token = accepted(browser.ask("POST", "/api/v1/tokens", {"name": "mine"}), 201)["token"]
    accepted(server.admin("PATCH", f"/api/v1/users/{name}", {"isEnabled": False}), 200)
    assert Client(server, token).ask("GET", "/api/v1/tokens").status == 401
    accepted(server.admin("PATCH", f"/api/v1/users/{name}", {"isEnabled": True}), 200)
    assert Client(server, token).ask("GET", "/api/v1/tokens").status == 200


def test_a_user_changes_its_own_password_and_nothing_of_others(server):
    name, browser = signed_in(server)
    other, _ = signed_in(server)
    for method, path, body in (
        ("PATCH", f"/api/v1/users/{other}", {"password": "another long password"}),
        ("PATCH", f"/api/v1/users/{other}", {"displayName": "x"}),
        ("POST", f"/api/v1/users/{other}/totp", None),
        ("DELETE", f"/api/v1/users/{other}/totp", None),
        ("GET", f"/api/v1/users/{other}", None),
        ("GET", "/api/v1/users", None),
        ("DELETE", f"/api/v1/users/{name}", None),
        ("PATCH", f"/api/v1/users/{name}", {"isEnabled": True}),
        ("POST", "/api/v1/users", {"name": unique("bob"), "password": PASSWORD}),
        ("POST", "/api/v1/servicePrincipals", {"displayName": "x"}),
    ):
        assert browser.ask(method, path, body).status == 403, f"{method} {path}"
    change = {"password": "another long password"}
    for shown in ({}, {"currentPassword": "a wrong password"}):
        assert browser.ask("PATCH", f"/api/v1/users/{name}", change | shown).status == 403, "a session alone is not enough"
    accepted(browser.ask("PATCH", f"/api/v1/users/{name}", change | {"currentPassword": PASSWORD}), 200)
    assert not browser.is_signed_in()
    assert Browser(server).sign_in(name, "another long password").status == 204
    assert Browser(server).sign_in(other).status == 204


def test_a_personal_token_cannot_change_the_password_of_its_user(server):
    name, browser = signed_in(server)
    token = accepted(browser.ask("POST", "/api/v1/tokens", {"name": "mine"}), 201)["token"]
    client = Client(server, token)
    assert client.ask("PATCH", f"/api/v1/users/{name}", {"password": "another long password"}).status == 403
    assert client.ask("POST", f"/api/v1/users/{name}/totp").status == 403
    assert Browser(server).sign_in(name).status == 204


# One-time codes


def code(secret: str, steps: int = 0) -> str:
    """RFC 6238, of now or of so many steps from now."""
    counter = int(time.time()) // 30 + steps
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, struct.pack(">Q", counter), hashlib.sha1)
    number = struct.unpack(">I", digest[digest[-1] & 15 :][:4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def wrong_code(secret: str) -> str:
    near = {code(secret, steps) for steps in range(-3, 4)}
    return next(text for number in range(10) if (text := f"{number:06}") not in near)


def enrol(browser: Browser, name: str) -> str:
    secret = accepted(browser.ask("POST", f"/api/v1/users/{name}/totp", {"currentPassword": PASSWORD}), 200)["secret"]
    accepted(browser.ask("POST", f"/api/v1/users/{name}/totp/confirm", {"code": code(secret)}), 204)
    return secret


def test_a_one_time_code_is_needed_once_it_has_been_confirmed(server):
    name, browser = signed_in(server)
    made = accepted(browser.ask("POST", f"/api/v1/users/{name}/totp", {"currentPassword": PASSWORD}), 200)
    secret = made["secret"]
    uri = urllib.parse.urlparse(made["uri"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert urllib.parse.parse_qs(uri.query)["secret"] == [secret]
    assert Browser(server).sign_in(name).status == 204, "before it is confirmed nobody is locked out by it"
    refused = browser.ask("POST", f"/api/v1/users/{name}/totp/confirm", {"code": wrong_code(secret)})
    assert refused.status == 400
    accepted(browser.ask("POST", f"/api/v1/users/{name}/totp/confirm", {"code": code(secret)}), 204)
    assert accepted(server.admin("GET", f"/api/v1/users/{name}"), 200)["hasTotp"] is True
    assert secret not in server.admin("GET", "/api/v1/users").text
    again = Browser(server)
    needed = again.sign_in(name)
    assert needed.status == 401 and needed.json["error"]["code"] == "CodeNeeded"
    assert again.sign_in(name, code=wrong_code(secret)).status == 401
    # Who does not know the password is not told that there is a code.
    wrong = again.sign_in(name, "a wrong password")
    assert wrong.status == 401 and wrong.json["error"]["code"] != "CodeNeeded"
    assert again.sign_in(name, "a wrong password", code(secret, 1)).status == 401
    assert again.sign_in(name, code=code(secret, 1)).status == 204 and again.is_signed_in()


def test_a_one_time_code_is_good_once(server):
    name, browser = signed_in(server)
    secret = enrol(browser, name)
    used = code(secret, 1)
    assert Browser(server).sign_in(name, code=used).status == 204
    assert Browser(server).sign_in(name, code=used).status == 401
    assert Browser(server).sign_in(name, code=code(secret)).status == 401, "nor is an older one"


def test_the_code_that_confirms_is_used_up_by_it(server):
    """RFC 6238, 5.2: a verifier must not accept a code a second time."""
    name, browser = signed_in(server)
    secret = accepted(browser.ask("POST", f"/api/v1/users/{name}/totp", {"currentPassword": PASSWORD}), 200)["secret"]
    used = code(secret)
    accepted(browser.ask("POST", f"/api/v1/users/{name}/totp/confirm", {"code": used}), 204)
    assert Browser(server).sign_in(name, code=used).status == 401


def test_a_one_time_code_is_good_once_also_across_a_restart(new_server):
    server = new_server("--no-agent").start()
    name, browser = signed_in(server)
    secret = enrol(browser, name)
    used = code(secret, 1)
    assert Browser(server).sign_in(name, code=used).status == 204
    server.stop()
    server.start()
    assert Browser(server).sign_in(name).json["error"]["code"] == "CodeNeeded"
    assert Browser(server).sign_in(name, code=used).status == 401


def test_a_session_alone_changes_nothing_of_codes(server):
    name, browser = signed_in(server)
    secret = enrol(browser, name)
    path = f"/api/v1/users/{name}/totp"
    for shown in (None, {"currentPassword": PASSWORD}, {"currentPassword": PASSWORD, "code": wrong_code(secret)}):
        assert browser.ask("POST", path, shown).status == 403
        assert browser.ask("DELETE", path, shown).status == 403
    assert Browser(server).sign_in(name).json["error"]["code"] == "CodeNeeded"
    accepted(browser.ask("DELETE", path, {"currentPassword": PASSWORD, "code": code(secret, 1)}), 204)
    assert Browser(server).sign_in(name).status == 204


def test_no_code_is_asked_for_once_the_secret_is_removed(server):
    name, browser = signed_in(server)
    enrol(browser, name)
    assert Browser(server).sign_in(name).status == 401
    accepted(server.admin("DELETE", f"/api/v1/users/{name}/totp"), 204)
    assert Browser(server).sign_in(name).status == 204


def test_wrong_codes_lock_a_name_out_as_wrong_passwords_do(server):
    name, browser = signed_in(server)
    secret = enrol(browser, name)
    statuses = []
    while 429 not in statuses and len(statuses) < ATTEMPTS_MAX:
        statuses.append(Browser(server).sign_in(name, code=wrong_code(secret)).status)
    assert statuses[-1] == 429
    assert Browser(server).sign_in(name, code=code(secret, 1)).status == 429


# Pages of other sites

OTHER_SITES = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]


@pytest.mark.parametrize("headers", OTHER_SITES, ids=str)
def test_a_page_of_another_site_changes_nothing_with_the_cookie(server, headers):
    name, browser = signed_in(server, ("Owner", "/"))
    table = unique("T").replace("-", "")
    command = {"db": "default", "csl": f".create table {table} (A: long)"}
    refused = [
        browser.ask("POST", "/v1/rest/mgmt", command, **headers),
        browser.ask("PUT", f"/api/v1/devices/{unique('pump')}", **headers),
        browser.ask("PATCH", f"/api/v1/users/{name}", {"password": "another long password"}, **headers),
        browser.ask("POST", "/api/v1/tokens", {"name": "x"}, **headers),
        browser.ask("DELETE", at(resource_id(server, WORKSPACE, unique("space"))), **headers),
    ]
    assert [answer.status for answer in refused] == [401] * 5
    browser.ask("DELETE", "/api/v1/session", **headers)
    assert browser.is_signed_in()
    assert table not in server.manage(".show tables | project TableName").values
    own = {"Origin": server.https, "Sec_Fetch_Site": "same-origin"}
    accepted(browser.ask("POST", "/v1/rest/mgmt", command, **own), 200)
    assert Browser(server).sign_in(name).status == 204


def test_an_origin_of_another_port_is_another_site(server):
    _, browser = signed_in(server, ("Owner", "/"))
    host = server.https.rsplit(":", 1)[0]
    answer = browser.ask("POST", "/api/v1/tokens", {"name": "x"}, Origin=f"{host}:1")
    assert answer.status == 401


# Programs


def test_a_program_gets_a_token_over_https_alone(server):
    made = program(server)
    secure = made.sign_in(server)
    assert secure.status == 200 and secure.json["token_type"] == "Bearer"
    assert secure.headers["cache-control"] == "no-store"
    plain = made.sign_in(server, secure=False)
    assert plain.status == 400 and "https" in plain.json["error_description"] and "access_token" not in plain.text


def test_a_secret_that_was_deleted_gives_no_tokens(server):
    made = program(server)
    path = f"/api/v1/servicePrincipals/{made.id}"
    second = accepted(server.admin("POST", f"{path}/secrets", {"days": 1}), 201)
    first = accepted(server.admin("GET", path), 200)["secrets"][0]["keyId"]
    accepted(server.admin("DELETE", f"{path}/secrets/{first}"), 204)
    refused = made.sign_in(server)
    assert refused.status == 401 and refused.json["error"] == "invalid_client"
    assert made.sign_in(server, second["secretText"]).status == 200


def test_a_token_of_a_program_that_was_deleted_is_good_no_more(server):
    made = program(server, (READER, resource_id(server, WORKSPACE, "default")))
    assert made.kusto("print 1").status == 200
    accepted(server.admin("DELETE", f"/api/v1/servicePrincipals/{made.id}"), 204)
    assert made.kusto("print 1").status == 401


def forged(token: str, **claims) -> str:
    """The same token with other claims, and a signature that fits another key."""

    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    body = token.split(".")[1]
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    text = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({**said, **claims})}"
    signature = hmac.digest(b"\0" * 32, text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_a_token_that_somebody_else_has_signed_is_refused(server):
    made = program(server, (READER, resource_id(server, WORKSPACE, "default")))
    head, body, signature = made.token.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    for token in (
        forged(made.token),
        forged(made.token, sub="00000000-0000-0000-0000-000000000000"),
        f"{none}.{body}.",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
    ):
        assert Client(server, token).kusto("print 1").status == 401
    assert made.kusto("print 1").status == 200


# Personal tokens


def test_a_personal_token_does_what_its_owner_may(server):
    made = accepted(server.admin("POST", "/api/v1/tokens", {"name": "all", "days": 1}), 201)
    client = Client(server, made["token"])
    assert client.kusto("print 1").status == 200
    assert client.ask("GET", "/api/v1/users").status == 200
    by_key = server.request("GET", "/v1/workspaces/default/query?query=print+1", headers={"x-api-key": made["token"]})
    assert by_key.status == 200
    listed = server.admin("GET", "/api/v1/tokens")
    assert made["id"] in listed.text and made["token"] not in listed.text
    accepted(server.admin("DELETE", f"/api/v1/tokens/{made['id']}"), 204)
    assert client.kusto("print 1").status == 401


def scoped(server: Server, role: str, scope: str) -> Client:
    body = {"name": unique("token"), "days": 1, "role": role, "scope": scope}
    return Client(server, accepted(server.admin("POST", "/api/v1/tokens", body), 201)["token"])


def test_a_scoped_token_does_what_its_role_allows_at_its_scope_and_no_more(server, places):
    a, b = places
    client = scoped(server, READER, a.id)
    assert client.kusto("T_CL", a.name).status == 200
    assert client.kusto("T_CL", b.name).status == 403
    assert client.manage(".create table X (A: long)", a.name).status == 403
    assert client.ask("GET", "/api/v1/devices").status == 403
    assert client.ask("GET", "/api/v1/users").status == 403


def test_a_scoped_token_makes_no_tokens_and_removes_none(server, places):
    kept = accepted(server.admin("POST", "/api/v1/tokens", {"name": unique("kept")}), 201)
    for client in (scoped(server, READER, places[0].id), scoped(server, "Owner", "/")):
        for body in ({"name": "more"}, {"name": "more", "role": READER, "scope": places[0].id}):
            assert client.ask("POST", "/api/v1/tokens", body).status == 403
        assert client.ask("DELETE", f"/api/v1/tokens/{kept['id']}").status == 403
    assert Client(server, kept["token"]).kusto("print 1").status == 200


def test_a_scoped_token_gives_nobody_a_role_beyond_its_scope(server, places):
    a, b = places
    client = scoped(server, "Owner", a.id)
    other = program(server)
    body = {"principalId": other.id, "role": READER}
    accepted(client.ask("POST", "/api/v1/roleAssignments", {**body, "scope": a.id}), 201)
    for scope in (b.id, "/", subscription(server), f"{subscription(server)}/resourceGroups/default"):
        assert client.ask("POST", "/api/v1/roleAssignments", {**body, "scope": scope}).status == 403, scope


def test_nobody_removes_the_token_of_another(server):
    _, browser = signed_in(server)
    _, other = signed_in(server)
    made = accepted(browser.ask("POST", "/api/v1/tokens", {"name": "mine"}), 201)
    assert other.ask("DELETE", f"/api/v1/tokens/{made['id']}").status == 404
    assert Client(server, made["token"]).ask("GET", "/api/v1/tokens").status == 200
    assert accepted(other.ask("GET", "/api/v1/tokens"), 200)["value"] == []


@pytest.mark.parametrize("days", [0, 731, -1])
def test_a_token_lives_between_a_day_and_two_years(server, days):
    assert server.admin("POST", "/api/v1/tokens", {"name": "x", "days": days}).status == 400


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed; make installs it")
def test_tokens_and_sessions_end_with_their_time(tmp_path):
    clock = tmp_path / "clock"
    clock.write_text("+0d")
    server = Server(tmp_path / "data", "--no-agent")
    server.environment.update(
        LD_PRELOAD=str(FAKETIME),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    with server:
        of_days = [server.admin("POST", "/api/v1/tokens", {"name": str(days), "days": days}) for days in (1, 30)]
        short, long = (Client(server, accepted(answer, 201)["token"]) for answer in of_days)
        made = program(server, (READER, resource_id(server, WORKSPACE, "default")))
        _, browser = signed_in(server)

        def good() -> list[bool]:
            answers = [client.kusto("print 1") for client in (made, short, long)]
            assert {answer.status for answer in answers} <= {200, 401}
            return [answer.status == 200 for answer in answers] + [browser.is_signed_in()]

        assert good() == [True, True, True, True]
        clock.write_text("+2h")
        assert good() == [False, True, True, True]
        clock.write_text("+23h")
        assert good() == [False, True, True, False]
        clock.write_text("+25h")
        assert good() == [False, False, True, False]
        clock.write_text("+31d")
        assert good() == [False, False, False, False]


# What a role at one workspace reaches

SECRET = "secret-of-b"


class Place:
    """A workspace in a group of its own, with a table of one row."""

    def __init__(self, server: Server, letter: str):
        self.server, self.name, self.group = server, unique(f"space-{letter}"), unique(f"team-{letter}")
        accepted(server.admin("PUT", at(f"{subscription(server)}/resourceGroups/{self.group}"), {"location": "local"}))
        self.id = resource_id(server, WORKSPACE, self.name, self.group)
        made = accepted(server.admin("PUT", at(self.id), {"location": "local"}))
        self.guid = made["properties"]["customerId"]
        server.manage(".create table T_CL (TimeGenerated: datetime, S: string)", self.name)
        row = {"TimeGenerated": "2026-03-02T10:00:00Z", "S": f"secret-of-{letter}"}
        accepted(server.ingest("T_CL", json.dumps(row), database=self.name))


@pytest.fixture(scope="module")
def places(server) -> tuple[Place, Place]:
    a, b = Place(server, "a"), Place(server, "b")
    # Made by somebody who may; run by whoever calls it.
    server.manage(f".create function Peek() {{ database('{b.name}').T_CL }}", a.name)
    return a, b


@pytest.fixture(scope="module")
def reader(server, places) -> Program:
    return program(server, (READER, places[0].id))


@pytest.fixture(scope="module")
def contributor(server, places) -> Program:
    return program(server, (CONTRIBUTOR, places[0].id))


QUERIES_OF_B = [
    "database('{b}').T_CL",
    "union T_CL, database('{b}').T_CL",
    "union isfuzzy=true T_CL, database('{b}').T_CL",
    "union database('*').*",
    "union withsource=From database('space-*').*",
    "alias database there = database('{b}'); database('there').T_CL",
    "let f = () {{ database('{b}').T_CL }}; f()",
    "Peek()",
    "T_CL | join kind=fullouter (database('{b}').T_CL) on S",
    "print toscalar(database('{b}').T_CL | project S)",
    "T_CL | extend x = toscalar(database('{b}').T_CL | project S)",
    "macro-expand entity_group [database('{b}')] as X (X.T_CL)",
    "database('{b}').T_CL | as hint.materialized=true x | union x",
    "materialize(database('{b}').T_CL)",
    "find in (database('{b}').T_CL) where S has 'secret'",
]


@pytest.mark.parametrize("query", QUERIES_OF_B)
def test_a_reader_of_one_workspace_reads_no_other_by_a_query(places, server, reader, query):
    a, b = places
    text = query.format(b=b.name)
    assert SECRET in json.dumps(server.kusto(text, a.name).rows), "whoever may read both sees it"
    for answer in (
        reader.kusto(text, a.name),
        reader.logs(text, a.guid),
        reader.ask("POST", "/v2/rest/query", {"db": a.name, "csl": text}),
        reader.ask("POST", f"/api/v1/workspaces/{a.name}/export", {"csl": text}),
    ):
        assert answer.status in (200, 400, 403, 404) and SECRET.encode() not in answer.body, answer.text


def test_a_reader_of_one_workspace_is_not_let_into_another(places, server, reader):
    a, b = places
    path = b.id.removeprefix("/subscriptions/")
    query = {"query": "T_CL"}
    asked = [
        reader.kusto("T_CL", b.name),
        reader.manage(".show tables", b.name),
        reader.manage(".show table T_CL details", b.name),
        reader.manage(f".show database ['{b.name}'] schema", b.name),
        reader.logs("T_CL", b.guid),
        reader.logs("T_CL", b.name),
        reader.ask("POST", f"/v1/subscriptions/{path}/query", query),
        reader.ask("GET", f"/v1/workspaces/{b.guid}/query?query=T_CL"),
        reader.ask("GET", f"/v1/workspaces/{b.guid}/metadata"),
        reader.ask("POST", f"/api/v1/workspaces/{b.name}/export", {"csl": "T_CL"}),
        reader.ask("GET", f"/api/v1/savedQueries?workspace={b.name}"),
        reader.ask("GET", at(b.id)),
        reader.ask("GET", at(f"{b.id}/tables")),
        reader.ask("GET", at(f"{b.id}/savedSearches")),
        reader.ask("POST", at(f"{b.id}/sharedKeys")),
        # It is known by its own place in the tree.
        reader.ask("GET", at(resource_id(server, WORKSPACE, b.name, a.group))),
    ]
    assert [answer.status for answer in asked[:-1]] == [403] * (len(asked) - 1)
    assert asked[-1].status in (403, 404)
    assert not [answer.text for answer in asked if SECRET in answer.text]
    assert reader.kusto("T_CL", a.name).status == 200


@pytest.mark.parametrize("name", ["{b.name}", "{b.guid}", "{b.id}"])
def test_a_reader_of_one_workspace_reads_no_other_beside_it(places, server, reader, name):
    a, b = places
    named = name.format(b=b)
    for more in ({"workspaces": [named]}, {"additionalWorkspaces": [named]}):
        assert SECRET in Client(server, server.token).logs("T_CL", a.guid, **more).text
        answer = reader.logs("T_CL", a.guid, **more)
        assert answer.status == 403 and SECRET not in answer.text
    # Nobody can write it in a query yet; when it can be, it must not reach further.
    for query in (f"workspace('{named}').T_CL", f"union T_CL, workspace('{named}').T_CL"):
        for answer in (reader.logs(query, a.guid), reader.kusto(query, a.name)):
            assert answer.status in (400, 403, 404) and SECRET not in answer.text
    one = {"id": "1", "workspace": b.guid, "body": {"query": "T_CL"}, "method": "POST", "path": "/query"}
    batch = {"requests": [one]}
    assert SECRET in Client(server, server.token).ask("POST", "/v1/$batch", batch).text
    answer = reader.ask("POST", "/v1/$batch", batch)
    assert SECRET not in answer.text and answer.json["responses"][0]["status"] == 403


def test_commands_that_list_show_a_reader_its_own_part(places, server, reader):
    a, b = places
    mark = unique("asked-by-another")
    assert server.kusto(f"T_CL | extend x = '{mark}'", b.name).rows
    assert mark in Client(server, server.token).manage(".show queries", a.name).text
    assert mark not in reader.manage(".show queries", a.name).text
    for command in (
        ".show databases",
        ".show databases schema",
        ".show schema",
        ".show cluster databases",
        ".show tables",
    ):
        whole, part = Client(server, server.token).manage(command, a.name), reader.manage(command, a.name)
        assert part.status == whole.status, f"{command}: {part.status} {part.text}"
        assert b.name not in part.text, command
    listed = json.dumps(accepted(reader.manage(".show databases", a.name), 200))
    assert a.name in listed and '"default"' not in listed
    answer = reader.manage(f".show tables | extend x = toscalar(database('{b.name}').T_CL | project S)", a.name)
    assert SECRET not in answer.text
    path = at(f"{subscription(server)}/providers/{WORKSPACE}")
    assert [item["name"] for item in accepted(reader.ask("GET", path), 200)["value"]] == [a.name]


def test_a_contributor_of_one_workspace_copies_nothing_from_another(places, server, contributor):
    a, b = places
    for command in (
        f".set-or-append Copy <| database('{b.name}').T_CL",
        ".set-or-append Copy <| Peek()",
        f".append T_CL <| database('{b.name}').T_CL",
    ):
        assert contributor.manage(command, a.name).status in (400, 403), command
    assert server.kusto("T_CL | project S", a.name).values == ["secret-of-a"]


CHANGES = [
    ".create table {t}2 (A: long)",
    ".create-merge table {t} (A: long)",
    ".alter table {t} docstring 'x'",
    ".create function {t}F() {{ print 1 }}",
    ".ingest inline into table {t} <| 1",
    ".append {t} <| print A = 1",
    ".set-or-append {t} <| print A = 1",
    ".alter-merge table {t} policy retention softdelete = 10d",
    ".delete table {t} records <| {t} | where A == 1",
    ".purge table {t} records with (noregrets='true') <| where A == 1",
    ".drop function {t}F",
    ".drop table {t}2",
    ".drop table {t}",
]


def test_a_reader_changes_nothing_and_a_contributor_may(places, server, reader, contributor):
    a, _ = places
    table = unique("T").replace("-", "")
    server.manage(f".create table {table} (A: long)", a.name)
    for command in CHANGES:
        text = command.format(t=table)
        refused = reader.manage(text, a.name)
        assert refused.status == 403, f"{text}: {refused.status} {refused.text}"
        assert refused.json["error"]["code"] == "Forbidden"
        allowed = contributor.manage(text, a.name)
        assert allowed.status == 200, f"{text}: {allowed.status} {allowed.text}"


def test_a_reader_sends_no_rows_and_a_contributor_may(places, server, reader, contributor):
    a, b = places
    path = f"/v1/rest/ingest/{a.name}/Sent?streamFormat=json"
    server.manage(".create table Sent (A: long)", a.name)
    assert reader.ask("POST", path, '{"A": 1}').status == 403
    assert contributor.ask("POST", path, '{"A": 2}').status == 200
    assert contributor.ask("POST", f"/v1/rest/ingest/{b.name}/T_CL?streamFormat=json", '{"S": "x"}').status == 403
    assert server.kusto("Sent | project A", a.name).values == [2]
    assert server.kusto("T_CL | count", b.name).value == 1


def test_a_contributor_of_one_workspace_changes_no_other(places, server, contributor):
    a, b = places
    assert contributor.manage(".create table X (A: long)", b.name).status == 403
    assert contributor.manage(f".create database {unique('x').replace('-', '')}", a.name).status == 403
    of_b = f".alter-merge database ['{b.name}'] policy retention softdelete = 1d"
    assert contributor.manage(of_b, a.name).status in (400, 403)
    assert SECRET in json.dumps(server.kusto("T_CL", b.name).rows)
    for method, path in (
        ("PUT", b.id),
        ("PATCH", b.id),
        ("DELETE", b.id),
        ("PUT", f"{b.id}/tables/X_CL"),
        ("POST", f"{b.id}/regenerateSharedKey"),
        ("PUT", resource_id(server, WORKSPACE, unique("space"), a.group)),
    ):
        assert contributor.ask(method, at(path), {"location": "local"}).status == 403, f"{method} {path}"


def rule_body(server: Server, workspace_id: str, table: str = "T_CL") -> dict:
    return {
        "location": "local",
        "properties": {
            "streamDeclarations": {"Custom-Raw": {"columns": [{"name": "S", "type": "string"}]}},
            "destinations": {"logAnalytics": [{"name": "here", "workspaceResourceId": workspace_id}]},
            "dataFlows": [{"streams": ["Custom-Raw"], "destinations": ["here"], "outputStream": f"Custom-{table}"}],
        },
    }


def test_nobody_sends_by_a_rule_to_a_workspace_that_is_not_theirs(places, server):
    """A contributor of a whole group makes rules there; where they lead to is asked for too."""
    a, b = places
    client = program(server, (CONTRIBUTOR, f"{subscription(server)}/resourceGroups/{a.group}"))
    own = client.ask("PUT", at(resource_id(server, RULE, unique("rule"), a.group)), rule_body(server, a.id))
    assert own.status == 201, own.text
    other = client.ask("PUT", at(resource_id(server, RULE, unique("rule"), a.group)), rule_body(server, b.id))
    assert other.status == 403, f"{other.status} {other.text}"


def test_nobody_directs_a_hub_or_its_data_that_is_not_theirs(places, server):
    """A security admin of a group makes solutions there; what they watch and where they write is asked for too."""
    a, _ = places
    hub = resource_id(server, HUB, unique("plant"))
    accepted(server.admin("PUT", at(hub), {"location": "local"}))
    client = program(server, ("Security Admin", f"{subscription(server)}/resourceGroups/{a.group}"))
    properties = {"displayName": "x", "iotHubs": [hub], "workspace": a.id, "export": ["RawEvents"]}
    path = at(resource_id(server, SOLUTION, unique("watch"), a.group))
    answer = client.ask("PUT", path, {"location": "local", "properties": properties})
    assert answer.status == 403, f"{answer.status} {answer.text}"


def test_nobody_directs_data_to_a_workspace_that_is_not_theirs(places, server):
    a, b = places
    hub = resource_id(server, HUB, unique("plant"), a.group)
    accepted(server.admin("PUT", at(hub), {"location": "local"}))
    client = program(server, ("Security Admin", f"{subscription(server)}/resourceGroups/{a.group}"))
    properties = {"displayName": "x", "iotHubs": [hub], "workspace": b.id}
    path = at(resource_id(server, SOLUTION, unique("watch"), a.group))
    answer = client.ask("PUT", path, {"location": "local", "properties": properties})
    assert answer.status == 403, f"{answer.status} {answer.text}"


# Devices


def test_who_manages_devices_sees_their_keys_and_cannot_query(server):
    hub = resource_id(server, HUB, "hub")
    manager = program(server, ("IoT Hub Data Contributor", hub))
    device = unique("pump")
    made = accepted(manager.ask("PUT", f"/api/v1/devices/{device}"), 201)
    assert made["primaryKey"]
    shown = accepted(manager.ask("GET", f"/api/v1/devices/{device}"), 200)
    assert shown["primaryKey"] == made["primaryKey"]
    server.accept(Device(device, made["primaryKey"], ""), message(process_start("true")))
    accepted(manager.ask("PATCH", f"/api/v1/devices/{device}", {"isEnabled": False}), 204)
    assert manager.kusto("print 1").status == 403
    assert manager.logs("print 1", "default").status == 403
    assert manager.ask("PUT", at(resource_id(server, HUB, unique("plant"))), {"location": "local"}).status == 403
    assert manager.ask("GET", f"/api/v1/devices/{device}/timeline").status == 403
    accepted(manager.ask("DELETE", f"/api/v1/devices/{device}"), 204)


def test_who_manages_the_devices_of_one_hub_manages_no_others(server):
    hub, name = resource_id(server, HUB, "hub"), unique("plant")
    accepted(server.admin("PUT", at(resource_id(server, HUB, name)), {"location": "local"}))
    accepted(server.admin("PUT", f"/api/v1/devices/pump-01?hub={name}"), 201)
    manager = program(server, ("IoT Hub Data Contributor", hub))
    for method, path in (
        ("GET", "/api/v1/devices"),
        ("GET", "/api/v1/devices/pump-01"),
        ("PUT", "/api/v1/devices/pump-02"),
        ("PUT", "/api/v1/devices/pump-01/modules/agent"),
        ("DELETE", "/api/v1/devices/pump-01"),
    ):
        for spelled in (name, name.upper()):
            answer = manager.ask(method, f"{path}?hub={spelled}")
            assert answer.status == 403 and "Key" not in answer.text.replace("Keys", ""), f"{method} {path}"


@pytest.mark.parametrize("role", [READER, CONTRIBUTOR, "Security Reader", "Security Admin"])
def test_keys_of_devices_are_hidden_from_readers(server, role):
    device = server.create_device(unique("pump"))
    client = program(server, (role, subscription(server)))
    for path in (f"/api/v1/devices/{device.id}", f"/api/v1/devices?search={device.id}"):
        answer = client.ask("GET", path)
        assert answer.status == 200 and device.id in answer.text
        assert "primaryKey" not in answer.text and "secondaryKey" not in answer.text and device.key not in answer.text
    for method, path in (("PUT", unique("pump")), ("DELETE", device.id), ("PUT", f"{device.id}/modules/agent")):
        assert client.ask(method, f"/api/v1/devices/{path}").status == 403


def test_the_shared_keys_of_a_workspace_are_hidden_from_readers(places, server, reader, contributor):
    a, _ = places
    keys = accepted(contributor.ask("POST", at(f"{a.id}/sharedKeys")), 200)
    assert keys["primarySharedKey"]
    assert reader.ask("POST", at(f"{a.id}/sharedKeys")).status == 403
    assert reader.ask("GET", at(f"{a.id}/sharedKeys")).status in (403, 404)
    for path in (a.id, f"{subscription(server)}/providers/{WORKSPACE}"):
        answer = reader.ask("GET", at(path))
        assert answer.status == 200 and keys["primarySharedKey"] not in answer.text


# Roles


def test_roles_are_assigned_within_the_scope_of_whoever_assigns_them(places, server):
    a, b = places
    group = f"{subscription(server)}/resourceGroups/{a.group}"
    owner, other = program(server, ("Owner", group)), program(server)
    body = {"principalId": other.id, "role": READER}
    made = accepted(owner.ask("POST", "/api/v1/roleAssignments", {**body, "scope": a.id}), 201)["id"]
    assert other.kusto("T_CL", a.name).status == 200
    for scope in (b.id, "/", "", subscription(server), f"{group}2", f"//{b.id}"):
        for principal in (other.id, owner.id):
            answer = owner.ask("POST", "/api/v1/roleAssignments", {**body, "principalId": principal, "scope": scope})
            assert answer.status in (400, 403), f"{scope}: {answer.status}"
    # Ids are compared part by part, so there is no way up in them.
    owner.ask("POST", "/api/v1/roleAssignments", {**body, "scope": f"{group}/../{b.group}"})
    assert other.kusto("T_CL", b.name).status == owner.kusto("T_CL", b.name).status == 403
    theirs = assign(server, other.id, READER, b.id)
    assert owner.ask("DELETE", f"/api/v1/roleAssignments/{theirs}").status == 403
    listed = accepted(owner.ask("GET", "/api/v1/roleAssignments"), 200)["value"]
    assert {item["id"] for item in listed} >= {made} and theirs not in [item["id"] for item in listed]
    accepted(owner.ask("DELETE", f"/api/v1/roleAssignments/{made}"), 204)
    assert other.kusto("T_CL", a.name).status == 403
    assert other.kusto("T_CL", b.name).status == 200


def test_whoever_is_no_owner_assigns_no_roles(places, server):
    a, _ = places
    for role in (READER, CONTRIBUTOR, "Security Admin", "Security Reader", "IoT Hub Data Contributor"):
        client = program(server, (role, "/"))
        body = {"principalId": client.id, "role": "Owner", "scope": a.id}
        assert client.ask("POST", "/api/v1/roleAssignments", body).status == 403, role
        assert client.ask("POST", "/api/v1/servicePrincipals", {"displayName": "x"}).status == 403, role
        assert client.ask("POST", f"/api/v1/servicePrincipals/{client.id}/secrets", {}).status == 403, role
        assert client.ask("POST", "/api/v1/backups", {"path": "/tmp/nowhere"}).status == 403, role


def test_an_unknown_role_or_principal_is_refused(server):
    made = program(server)
    for body, status in (
        ({"principalId": made.id, "role": "King", "scope": "/"}, 400),
        ({"principalId": str(uuid.uuid4()), "role": READER, "scope": "/"}, 404),
        ({"principalId": made.id, "role": READER, "scope": "subscriptions"}, 400),
    ):
        assert server.admin("POST", "/api/v1/roleAssignments", body).status == status, body


# The audit


def activities(server: Server, condition: str) -> list[dict]:
    return server.kusto(f"AzureActivity | where {condition} | order by TimeGenerated asc").records


def test_changes_are_in_the_audit_with_who_what_where_and_how_it_ended(places, server, reader, contributor):
    a, _ = places
    table = unique("T").replace("-", "")
    command = f".create table {table} (A: long)"
    outcomes = ((reader, "Failure", "Failed", "403"), (contributor, "Success", "Succeeded", "200"))
    for client, status, word, http_status in outcomes:
        client.manage(command, a.name)
        rows = activities(server, f"Caller == '{client.app_id}' and ResourceId =~ '{a.id}'")
        row = rows[-1]
        assert row["OperationName"] == f"{WORKSPACE}/write"
        assert row["OperationNameValue"] == f"{WORKSPACE}/write".upper()
        assert row["CallerIpAddress"] == "127.0.0.1"
        assert (row["ActivityStatusValue"], row["ActivityStatus"]) == (status, word)
        assert row["ActivitySubstatusValue"] == http_status
        assert row["ResourceGroup"] == a.group and row["SubscriptionId"] == subscription(server).split("/")[-1]
        assert "/v1/rest/mgmt" in row["HTTPRequest"]
        assert json.loads(row["Claims"])["oid"] == client.id
    assert table in server.manage(".show tables | project TableName", a.name).values


CHANGES_OF_ALL_KINDS = [
    ("PUT", f"{{group}}/providers/{WORKSPACE}/{{name}}", {"location": "local"}, f"{WORKSPACE}/write"),
    ("PATCH", f"{{group}}/providers/{WORKSPACE}/{{name}}", {"tags": {"a": "b"}}, f"{WORKSPACE}/write"),
    ("POST", f"{{group}}/providers/{WORKSPACE}/{{name}}/sharedKeys", None, f"{WORKSPACE}/sharedKeys/action"),
    ("DELETE", f"{{group}}/providers/{WORKSPACE}/{{name}}", None, f"{WORKSPACE}/delete"),
    ("PUT", f"{{group}}/providers/{HUB}/{{name}}", {"location": "local"}, f"{HUB}/write"),
    ("DELETE", f"{{group}}/providers/{HUB}/{{name}}", None, f"{HUB}/delete"),
    ("PUT", f"{{group}}/providers/{SOLUTION}/{{name}}", {}, f"{SOLUTION}/write"),
    ("PUT", f"{{group}}/providers/{RULE}/{{name}}", {}, f"{RULE}/write"),
    ("PUT", "{group}-{name}", {"location": "local"}, "Microsoft.Resources/subscriptions/resourceGroups/write"),
    ("PUT", "/api/v1/devices/{name}", None, f"{HUB}/devices/write"),
    ("PATCH", "/api/v1/devices/{name}", {"isEnabled": False}, f"{HUB}/devices/write"),
    ("DELETE", "/api/v1/devices/{name}", None, f"{HUB}/devices/delete"),
    ("POST", "/api/v1/users", {"name": "{name}", "password": PASSWORD}, "Microsoft.Authorization/principals/write"),
    ("PATCH", "/api/v1/users/{name}", {"isEnabled": False}, "Microsoft.Authorization/principals/write"),
    ("POST", "/api/v1/servicePrincipals", {"displayName": "{name}"}, "Microsoft.Authorization/principals/write"),
    (
        "POST",
        "/api/v1/roleAssignments",
        {"principalId": "x", "role": READER, "scope": "/"},
        "Microsoft.Authorization/principals/write",
    ),
    ("POST", "/api/v1/tokens", {"name": "{name}"}, "Turnstone/tokens/write"),
    ("POST", "/api/v1/backups", {"path": "{folder}"}, "Turnstone/server/administer/action"),
]


def test_every_kind_of_change_is_in_the_audit(server, tmp_path):
    owner = program(server, ("Owner", "/"))
    name, group = unique("thing"), f"{subscription(server)}/resourceGroups/default"
    for method, path, body, operation in CHANGES_OF_ALL_KINDS:
        path = path.format(group=group, name=name)
        text = json.dumps(body).replace("{name}", name).replace("{folder}", str(tmp_path / "backup"))
        asked = at(path) if path.startswith("/subscriptions") else path
        answer = owner.ask(method, asked, None if body is None else text)
        row = activities(server, f"Caller == '{owner.app_id}'")[-1]
        assert row["OperationName"] == operation, f"{method} {path}"
        assert row["HTTPRequest"] == f"{method} {path}"
        assert row["ActivitySubstatusValue"] == str(answer.status)
        assert row["ActivityStatusValue"] == ("Success" if answer.status < 400 else "Failure")
    rows = activities(server, f"Caller == '{owner.app_id}' and OperationName !has 'signIn'")
    assert len(rows) == len(CHANGES_OF_ALL_KINDS), "one row for each"
    assert len({row["EventDataId"] for row in rows}) == len(rows)


def test_sign_ins_are_in_the_audit_also_those_that_fail(server):
    name, browser = make_user(server), Browser(server)
    browser.sign_in(name, "a wrong password")
    browser.sign_in(name)
    made = program(server)
    made.sign_in(server, "tst_wrong")
    for caller in (name, made.app_id):
        rows = activities(server, f"Caller == '{caller}' and OperationName == 'Turnstone/signIn/action'")
        assert {row["ActivityStatusValue"] for row in rows} == {"Success", "Failure"}
        assert {row["CallerIpAddress"] for row in rows} == {"127.0.0.1"}
    assert "a wrong password" not in json.dumps(rows) and made.secret not in json.dumps(rows)


def test_what_is_only_read_is_not_in_the_audit(server, reader, places):
    before = len(activities(server, f"Caller == '{reader.app_id}'"))
    assert reader.kusto("T_CL", places[0].name).status == 200
    assert reader.ask("GET", at(places[0].id)).status == 200
    assert len(activities(server, f"Caller == '{reader.app_id}'")) == before


AUDIT_COMMANDS = [
    ".drop table AzureActivity",
    ".drop table AzureActivity ifexists",
    ".drop tables (AzureActivity)",
    ".delete table AzureActivity records <| AzureActivity | where Caller != ''",
    ".purge table AzureActivity records with (noregrets='true') <| where Caller != ''",
    ".alter table AzureActivity (Caller: string)",
    ".create-merge table AzureActivity (Caller2: string)",
    ".alter-merge table AzureActivity (Caller2: string)",
    ".ingest inline into table AzureActivity with (format='json') <| {\"Caller\": \"nobody\"}",
    ".append AzureActivity <| AzureActivity | take 1",
    ".set-or-append AzureActivity <| AzureActivity | take 1",
    ".set-or-replace AzureActivity <| AzureActivity | take 1",
    ".set AzureActivity <| AzureActivity | take 1",
]


def audit(server: Server) -> tuple[set, list]:
    """Ids of its rows, and its columns."""
    result = server.kusto("AzureActivity")
    ids = [row["EventDataId"] for row in result.records]
    assert len(set(ids)) == len(ids), "each row is there once"
    return set(ids), result.columns


@pytest.mark.parametrize("command", AUDIT_COMMANDS)
def test_no_command_changes_the_audit(server, command):
    accepted(server.admin("POST", "/api/v1/tokens", {"name": unique("to-be-audited")}), 201)
    ids, columns = audit(server)
    answer = server.admin("POST", "/v1/rest/mgmt", {"db": "default", "csl": command})
    now, columns_now = audit(server)
    assert now >= ids and columns_now == columns
    assert answer.status in (400, 403, 409) and "AzureActivity" in answer.text, f"{answer.status} {answer.text}"
    assert activities(server, "Caller == 'nobody'") == []


@pytest.mark.parametrize("verb", [".create function", ".create-or-alter function"])
def test_no_function_stands_before_the_audit(server, verb):
    ids, _ = audit(server)
    command = f"{verb} AzureActivity() {{ print EventDataId = 'nobody' }}"
    answer = server.admin("POST", "/v1/rest/mgmt", {"db": "default", "csl": command})
    try:
        assert audit(server)[0] >= ids, answer.text
    finally:
        server.admin("POST", "/v1/rest/mgmt", {"db": "default", "csl": ".drop function AzureActivity ifexists"})


def test_no_rows_are_sent_to_the_audit(server):
    ids, _ = audit(server)
    answer = server.ingest("AzureActivity", json.dumps({"Caller": "nobody"}))
    assert answer.status in (400, 403, 409), answer.text
    workspace = resource_id(server, WORKSPACE, "default")
    for stream in ("Custom-AzureActivity", "Microsoft-AzureActivity"):
        body = rule_body(server, workspace)
        body["properties"]["streamDeclarations"]["Custom-Raw"]["columns"] = [{"name": "Caller", "type": "string"}]
        body["properties"]["dataFlows"][0]["outputStream"] = stream
        path = resource_id(server, RULE, unique("rule"))
        made = server.admin("PUT", at(path), body)
        if made.status in (200, 201):
            rule = made.json["properties"]["immutableId"]
            path = f"/dataCollectionRules/{rule}/streams/Custom-Raw?api-version=2023-01-01"
            sent = server.admin("POST", path, [{"Caller": "nobody"}])
            assert sent.status in (400, 403, 409), f"{stream}: {sent.status} {sent.text}"
        else:
            assert made.status in (400, 403, 409), made.text
    flow = {"streams": ["Microsoft-AzureActivity"], "destinations": ["here"]}
    body = rule_body(server, workspace)
    body["properties"]["dataFlows"] = [flow]
    made = server.admin("PUT", at(resource_id(server, RULE, unique("rule"))), body)
    if made.status in (200, 201):
        rule = made.json["properties"]["immutableId"]
        path = f"/dataCollectionRules/{rule}/streams/Microsoft-AzureActivity?api-version=2023-01-01"
        assert server.admin("POST", path, [{"Caller": "nobody"}]).status in (400, 403, 409)
    assert activities(server, "Caller == 'nobody'") == [] and audit(server)[0] >= ids


def test_the_audit_is_not_managed_away(new_server):
    server = new_server("--no-agent").start()
    workspace = resource_id(server, WORKSPACE, "default")
    ids, columns = audit(server)
    accepted(server.admin("DELETE", at(resource_id(server, SOLUTION, "default"))), 200)
    table = f"{workspace}/tables/AzureActivity"
    schema = {"schema": {"name": "AzureActivity", "columns": [{"name": "Caller2", "type": "string"}]}}
    for method, path, body in (
        ("DELETE", workspace, None),
        ("DELETE", resource_id(server, WORKSPACE, "DEFAULT"), None),
        ("DELETE", table, None),
        ("PUT", table, {"properties": schema}),
        ("DELETE", f"{subscription(server)}/resourceGroups/default", None),
    ):
        answer = server.admin(method, at(path), body)
        assert answer.status in (400, 403, 405, 409), f"{method} {path}: {answer.status} {answer.text}"
    now, columns_now = audit(server)
    assert now >= ids and columns_now == columns and len(now) >= len(ids) + 6
    server.kill()
    server.start()
    assert audit(server)[0] >= now


def test_the_audit_goes_on_when_the_daily_quota_is_reached(new_server):
    server = new_server("--no-agent").start()
    workspace = resource_id(server, WORKSPACE, "default")
    body = {"properties": {"workspaceCapping": {"dailyQuotaGb": 1e-8}}}
    accepted(server.admin("PATCH", at(workspace), body), 200)
    server.manage(".create table T (A: long)")
    wait_until(lambda: server.ingest("T", '{"A": 1}').status == 429, 30, "the quota is reached")
    before = len(audit(server)[0])
    accepted(server.admin("POST", "/api/v1/tokens", {"name": "x"}), 201)
    assert len(audit(server)[0]) == before + 1


# The owner of the machine


def test_a_new_admin_token_takes_the_place_of_the_old_one_while_the_server_runs(new_server):
    server = new_server("--no-agent").start()
    old = Client(server, server.token)
    made = accepted(old.ask("POST", "/api/v1/tokens", {"name": "mine"}), 201)["token"]
    outcome = turnstone("admin", "reset", "--data", server.data)
    assert outcome.returncode == 0, outcome.stderr
    assert server.token != old.token and server.token not in outcome.stdout + outcome.stderr
    assert (server.data / "admin-token").stat().st_mode & 0o077 == 0
    new = Client(server, server.token)
    wait_until(lambda: new.kusto("print 1").status == 200, 10, "the new token is good")
    assert old.kusto("print 1").status == 401
    assert Client(server, made).kusto("print 1").status == 401, "what was made with the old one ends with it"
    server.stop()
    server.start()
    assert new.kusto("print 1").status == 200 and old.kusto("print 1").status == 401


@pytest.mark.parametrize("is_known", [False, True], ids=["new", "locked out"])
def test_the_owner_of_the_machine_makes_an_owner_who_can_sign_in(new_server, is_known):
    server = new_server("--no-agent").start()
    name = "ann"
    if is_known:
        accepted(server.admin("POST", "/api/v1/users", {"name": name, "password": PASSWORD}), 201)
        browser = Browser(server)
        accepted(browser.sign_in(name), 204)
        enrol(browser, name)
        accepted(server.admin("PATCH", f"/api/v1/users/{name}", {"isEnabled": False}), 200)
    outcome = turnstone("admin", "reset", "--user", name, "--data", server.data)
    assert outcome.returncode == 0, outcome.stderr
    browser = Browser(server)
    assert browser.sign_in(name).status == 401
    assert browser.sign_in(name, outcome.stdout.strip()).status == 204
    assert {"role": "Owner", "scope": "/"} in accepted(browser.ask("GET", "/api/v1/session"), 200)["roles"]
    assert browser.ask("GET", "/api/v1/users").status == 200


def test_a_reset_of_a_folder_that_is_none_is_refused(tmp_path):
    outcome = turnstone("admin", "reset", "--data", tmp_path)
    assert outcome.returncode == 2 and str(tmp_path) in outcome.stderr
    assert list(tmp_path.iterdir()) == []


# Certificates


def write_certificate(certificate: Path | None, key: Path | None) -> bytes:
    """A new one that vouches for itself, written to one or both files; the other file's content is returned."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    if certificate:
        certificate.write_bytes(made.public_bytes(pem))
    if key:
        key.write_bytes(secret)
    return secret


def trusts(server: Server, certificate: Path) -> bool:
    """Whether somebody who trusts that certificate alone is served."""
    host = server.https.removeprefix("https://")
    connection = http.client.HTTPSConnection(
        host, timeout=10, context=ssl.create_default_context(cafile=str(certificate))
    )
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except ssl.SSLCertVerificationError:
        return False
    finally:
        connection.close()


def test_a_certificate_of_the_owner_is_served_and_read_again_when_it_changes(new_server, tmp_path):
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    write_certificate(certificate, key)
    server = new_server("--no-agent", "--tls-certificate", certificate, "--tls-key", key).start()
    first = shutil.copy(certificate, tmp_path / "first.pem")
    assert trusts(server, first) and not trusts(server, server.ca)
    process = server.process.pid
    # While the two do not fit each other, the old ones are served.
    secret = write_certificate(certificate, None)
    wait_until(lambda: "cannot be served" in server.log_text(), 30, "the new certificate is seen")
    assert trusts(server, first)
    key.write_bytes(secret)
    wait_until(lambda: trusts(server, certificate), 30, "the new certificate is served")
    assert not trusts(server, first) and server.process.pid == process
    assert server.request("GET", "/healthz").status == 200


@pytest.mark.parametrize("missing", ["--tls-certificate", "--tls-key"])
def test_a_certificate_and_its_key_go_together(tmp_path, missing):
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    write_certificate(certificate, key)
    given = {"--tls-certificate": certificate, "--tls-key": key}
    given.pop(missing)
    words = [word for pair in given.items() for word in pair]
    outcome = turnstone("up", "--data", tmp_path / "data", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", *words)
    assert outcome.returncode == 2 and missing in outcome.stderr


# Nobody

FAMILIES = {
    "kusto": ("POST", "/v1/rest/query", {"db": "default", "csl": "print 1"}),
    "kusto, frames": ("POST", "/v2/rest/query", {"db": "default", "csl": "print 1"}),
    "kusto, commands": ("POST", "/v1/rest/mgmt", {"db": "default", "csl": ".show tables"}),
    "kusto, rows": ("POST", "/v1/rest/ingest/default/T?streamFormat=json", {"A": 1}),
    "log analytics": ("POST", "/v1/workspaces/default/query", {"query": "print 1"}),
    "log analytics, unversioned": ("GET", "/workspaces/default/query?query=print", None),
    "log analytics, batches": ("POST", "/v1/$batch", {"requests": []}),
    "management": ("GET", "/subscriptions?api-version=2022-12-01", None),
    "logs ingestion": ("POST", "/dataCollectionRules/dcr-x/streams/Custom-Raw?api-version=2023-01-01", []),
    "devices": ("GET", "/api/v1/devices", None),
    "tokens": ("POST", "/api/v1/tokens", {"name": "x"}),
    "nothing": ("GET", "/api/v1/nothing", None),
    "metrics": ("GET", "/metrics", None),
}
STRANGERS = {
    "no token": {},
    "an unknown token": {"Authorization": "Bearer tst_unknown"},
    "an empty token": {"Authorization": "Bearer "},
    "another scheme": {"Authorization": "Basic YWRtaW46YWRtaW4="},
    "an unknown key": {"x-api-key": "tst_unknown"},
    "an unknown session": {"Cookie": "turnstone-session=tst_unknown"},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_strangers_are_refused_in_the_words_of_each_interface(server, family):
    method, path, body = FAMILIES[family]
    for who, headers in STRANGERS.items():
        sent = {"Content-Type": "application/json", **headers}
        answer = server.request(method, path, None if body is None else json.dumps(body), sent)
        assert answer.status == 401, f"{who}: {answer.status} {answer.text}"
        assert answer.headers.get("www-authenticate", "").startswith("Bearer"), who
        error = answer.json["error"]
        assert error["code"]
        if family.startswith("kusto"):
            assert error["@type"] and error["@message"] and error["@permanent"] is True
        else:
            assert error["message"] and "@message" not in error
        if family.startswith("log analytics"):
            assert error["code"] == "AuthorizationRequiredError" and error["correlationId"]
        assert "tst_unknown" not in answer.text


# Back-ups


def test_a_server_that_was_restored_knows_its_principals(new_server, tmp_path):
    server = new_server("--no-agent").start()
    made = program(server, (READER, resource_id(server, WORKSPACE, "default")))
    name = make_user(server, ("Owner", "/"))
    token = Client(server, accepted(server.admin("POST", "/api/v1/tokens", {"name": "mine"}), 201)["token"])
    folder = tmp_path / "backup"
    assert turnstone("backup", folder, "--data", server.data).returncode == 0
    late = program(server)
    server.stop()
    again = new_server("--no-agent")
    restored = turnstone("restore", folder, "--data", again.data)
    assert restored.returncode == 0, restored.stderr
    for file in ("access.sqlite", "token-key", "admin-token"):
        assert (again.data / file).stat().st_mode & 0o077 == 0, file
    again.start()
    # Tokens that were given before are good, since the key is the same.
    for client in (made, token):
        client.server = again
        assert client.kusto("print 1").status == 200
    assert made.sign_in(again).status == 200 and late.sign_in(again).status == 401
    assert made.manage(".create table T (A: long)").status == 403
    browser = Browser(again)
    assert browser.sign_in(name).status == 204
    assert browser.ask("GET", "/api/v1/users").status == 200


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_principals_roles_tokens_and_sessions_outlive_a_restart(new_server, end):
    server = new_server("--no-agent").start()
    made = program(server, (READER, resource_id(server, WORKSPACE, "default")))
    limited = scoped(server, READER, resource_id(server, WORKSPACE, "default"))
    name, browser = signed_in(server, ("Owner", "/"))
    gone = program(server, (READER, "/"))
    accepted(server.admin("DELETE", f"/api/v1/servicePrincipals/{gone.id}"), 204)
    getattr(server, end)()
    server.start()
    browser.server._tls = None
    for client in (made, limited):
        assert client.kusto("print 1").status == 200
        assert client.manage(".create table T (A: long)").status == 403
    assert browser.is_signed_in() and browser.ask("GET", "/api/v1/users").status == 200
    assert gone.kusto("print 1").status == 401
    rows = activities(server, f"Caller == '{name}' and OperationName == 'Turnstone/signIn/action'")
    assert len(rows) == 1
