"""Users of an outside provider of OpenID Connect (oidc-provider for Node): who they are is the provider's word, what
they may do is ours."""

import contextlib
import html.parser
import json
import socket
import socketserver
import subprocess
import threading
import urllib.parse
import uuid
from pathlib import Path

import pytest
import requests
import venvs
from turnstone_server import Server

CLIENT = "turnstone"
# Signs that a client must encode before it sends them by basic authentication.
SECRET = "s3cret:+/%&= of the client, long enough"
COOKIE = "turnstone-session"
FORGERIES = ["audience", "issuer", "expiry", "nonce", "subject", "key", "algorithm", "signature"]
STOP_SECONDS = 60
REQUEST_SECONDS = 30
STEPS_MAX = 20


class Door(socketserver.ThreadingTCPServer):
    """The address that browsers know; it is open before the server is, whose port nobody knows beforehand."""

    daemon_threads = True
    target: tuple[str, int] | None = None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Passage)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"


class Passage(socketserver.BaseRequestHandler):
    def handle(self):
        with socket.create_connection(self.server.target) as inside:
            back = threading.Thread(target=self.pass_on, args=(inside, self.request), daemon=True)
            back.start()
            self.pass_on(self.request, inside)
            back.join()

    @staticmethod
    def pass_on(source: socket.socket, to: socket.socket):
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                to.sendall(part)
            to.shutdown(socket.SHUT_WR)


class Form(html.parser.HTMLParser):
    """The first form of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.action = None
        self.fields = {}
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = attributes["action"]
        if tag == "input" and attributes.get("name"):
            self.fields[attributes["name"]] = attributes.get("value") or ""


class Browser:
    """Keeps cookies and follows redirects, one step at a time."""

    def __init__(self, server: Server, public: str):
        self.public = public
        self.session = requests.Session()
        # Nothing of the environment: no proxy, and no other certificates.
        self.session.trust_env = False
        self.session.verify = str(server.ca)

    def get(self, url: str) -> requests.Response:
        url = urllib.parse.urljoin(self.public, url)
        return self.session.get(url, allow_redirects=False, timeout=REQUEST_SECONDS)

    @property
    def has_session(self) -> bool:
        return COOKIE in self.session.cookies

    def begin(self, **parameters: str) -> str:
        """Where the server sends the browser to sign in."""
        answer = self.get("/api/v1/session/oidc?" + urllib.parse.urlencode(parameters))
        assert answer.status_code == 302, f"{answer.status_code} {answer.text}"
        return answer.headers["location"]

    def at_provider(self, url: str, name: str) -> str:
        """Signs in as `name` and agrees to all; where the provider sends the browser then."""
        callback = f"{self.public}/api/v1/session/oidc/callback"
        answer = self.get(url)
        for _ in range(STEPS_MAX):
            if answer.is_redirect:
                url = urllib.parse.urljoin(answer.url, answer.headers["location"])
                if url.startswith(callback):
                    return url
                answer = self.get(url)
                continue
            assert answer.status_code == 200, f"{answer.url}: {answer.status_code} {answer.text}"
            form = Form(answer.text)
            assert form.action, answer.text
            known = {"login": name, "password": "any"}
            fields = {field: known.get(field, value) for field, value in form.fields.items()}
            target = urllib.parse.urljoin(answer.url, form.action)
            answer = self.session.post(target, data=fields, allow_redirects=False, timeout=REQUEST_SECONDS)
        raise AssertionError("the provider did not come to an end")

    def sign_in(self, name: str, **parameters: str) -> requests.Response:
        """All steps; the server's answer to the last one."""
        return self.get(self.at_provider(self.begin(**parameters), name))

    def who(self) -> dict:
        answer = self.get("/api/v1/session")
        assert answer.status_code == 200, answer.text
        return answer.json()


def query_of(url: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


def with_query(url: str, **changed: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(query=urllib.parse.urlencode({**query_of(url), **changed})).geturl()


def refused(browser: Browser, answer: requests.Response):
    """The browser is told that it is its own fault, and is nobody."""
    assert answer.status_code < 500, f"{answer.status_code} {answer.text}"
    assert COOKIE not in answer.cookies and not browser.has_session
    assert browser.get("/api/v1/session").status_code == 401


@pytest.fixture(scope="module")
def modules(tmp_path_factory) -> Path:
    return venvs.node_modules(tmp_path_factory)


@contextlib.contextmanager
def provider(modules: Path, door: Door, method: str, log: Path):
    """Its issuer; it knows the server, and that it shows its secret by that method."""
    client = {
        "clientId": CLIENT,
        "clientSecret": SECRET,
        "clientMethod": method,
        "redirectUri": f"{door.url}/api/v1/session/oidc/callback",
    }
    command = ["node", str(modules / "oidc.mjs")]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    with process:
        process.stdin.write(json.dumps(client) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, log.read_text()
        ready = json.loads(line)
        assert ready["forgeries"] == FORGERIES
        yield ready["issuer"]
        # The end of its input ends the provider.
        process.stdin.close()
        process.wait(timeout=STOP_SECONDS)


@contextlib.contextmanager
def setting(modules: Path, folder: Path, method: str):
    """A server, its door, and the issuer that it trusts."""
    secret = folder / "secret"
    # As editors and `echo` write files.
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    with Door() as door, provider(modules, door, method, folder / "provider.log") as issuer:
        options = {
            "--public-url": door.url,
            "--oidc-issuer": issuer,
            "--oidc-client-id": CLIENT,
            "--oidc-client-secret-file": secret,
        }
        words = [str(word) for option in options.items() for word in option]
        with Server(folder / "data", "--no-agent", *words) as server:
            host, port = server.https.removeprefix("https://").rsplit(":", 1)
            door.target = (host, int(port))
            yield server, door, issuer
        door.shutdown()


@pytest.fixture(scope="module")
def parts(modules, tmp_path_factory):
    # The method that OpenID Connect supposes where nothing is said.
    with setting(modules, tmp_path_factory.mktemp("oidc"), "client_secret_basic") as parts:
        yield parts


@pytest.fixture(scope="module")
def server(parts) -> Server:
    return parts[0]


@pytest.fixture(scope="module")
def door(parts) -> Door:
    return parts[1]


@pytest.fixture(scope="module")
def issuer(parts) -> str:
    return parts[2]


@pytest.fixture
def new_browser(server, door):
    return lambda: Browser(server, door.url)


@pytest.fixture
def browser(new_browser) -> Browser:
    return new_browser()


@pytest.fixture
def name() -> str:
    """A user whom nobody has seen yet."""
    return f"user-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def subscription(server) -> str:
    return server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]["subscriptionId"]


@pytest.fixture(scope="module")
def query(server) -> str:
    """A query as an address."""
    workspace = json.loads((server.data / "instance.json").read_text())["workspace_id"]
    return f"/v1/workspaces/{workspace}/query?query=print%201"


# Signing in


def test_the_way_to_the_provider_is_a_code_with_a_proof_key(browser, door, issuer):
    url = browser.begin()
    assert url.startswith(issuer + "/")
    sent = query_of(url)
    assert (sent["response_type"], sent["client_id"]) == ("code", CLIENT)
    assert sent["redirect_uri"] == f"{door.url}/api/v1/session/oidc/callback"
    assert "openid" in sent["scope"].split()
    assert sent["code_challenge_method"] == "S256" and len(sent["code_challenge"]) == 43
    again = query_of(browser.begin())
    for part in ("state", "code_challenge"):
        assert len(sent[part]) >= 16 and sent[part] != again[part]


def test_a_user_ends_at_the_pages_with_a_session(browser, door, name):
    answer = browser.sign_in(name)
    assert answer.status_code == 302, f"{answer.status_code} {answer.text}"
    assert urllib.parse.urljoin(door.url, answer.headers["location"]) == f"{door.url}/ui/"
    (cookie,) = [cookie for cookie in answer.raw.headers.getlist("set-cookie") if cookie.startswith(f"{COOKIE}=")]
    parts = {part.strip().lower() for part in cookie.split(";")}
    assert {"httponly", "secure", "samesite=strict"} <= parts
    who = browser.who()
    assert name in json.dumps(who["principal"])
    assert who["roles"] == []


def test_a_user_comes_to_the_page_that_was_asked_for_and_to_no_other_site(new_browser, name):
    page = "/ui/alerts/IoT_ReverseShell/2026-03-02?device=a%2Fb"
    for asked, reached in [(page, page), ("//evil.example/ui/", "/ui/")]:
        answer = new_browser().sign_in(name, returnTo=asked)
        assert (answer.status_code, answer.headers["location"]) == (302, reached)


def test_a_user_is_the_same_in_every_browser(new_browser, name):
    ids = []
    for user in (name, name, name + "-other"):
        browser = new_browser()
        browser.sign_in(user)
        ids.append(browser.who()["principal"]["id"])
    assert ids[0] == ids[1] != ids[2]


def test_a_user_has_no_rights_until_a_role_gives_them(server, browser, name, subscription, query):
    browser.sign_in(name)
    users = "/api/v1/users"
    assert [browser.get(path).status_code for path in (query, users)] == [403, 403]
    # Who has signed in once can be found, to be given a role.
    assert name in json.dumps(server.admin("GET", users).json["value"])
    principal = browser.who()["principal"]["id"]
    scope = f"/subscriptions/{subscription}"
    assignment = {"principalId": principal, "role": "Log Analytics Reader", "scope": scope}
    assigned = server.admin("POST", "/api/v1/roleAssignments", assignment)
    assert assigned.status == 201, assigned.text
    assert [browser.get(path).status_code for path in (query, users)] == [200, 403]
    assert "Log Analytics Reader" in json.dumps(browser.who()["roles"])
    taken = server.admin("DELETE", f"/api/v1/roleAssignments/{assigned.json['id']}")
    assert taken.status in (200, 204), taken.text
    assert browser.get(query).status_code == 403


def test_a_user_here_of_the_same_name_is_somebody_else(server, browser, name, subscription):
    made = server.admin("POST", "/api/v1/users", {"name": name, "password": f"a long password of {name}"})
    assert made.status == 201, made.text
    assignment = {"principalId": made.json["id"], "role": "Owner", "scope": f"/subscriptions/{subscription}"}
    assert server.admin("POST", "/api/v1/roleAssignments", assignment).status == 201
    browser.sign_in(name)
    who = browser.who()
    assert who["principal"]["id"] != made.json["id"] and who["roles"] == []


def test_a_provider_may_want_the_secret_in_the_form(modules, tmp_path, name):
    with setting(modules, tmp_path, "client_secret_post") as (server, door, _):
        browser = Browser(server, door.url)
        assert browser.sign_in(name).status_code == 302
        assert name in json.dumps(browser.who()["principal"])


def test_a_session_ends_when_its_user_says_so(browser, door, name):
    browser.sign_in(name)
    kept = browser.session.cookies[COOKIE]
    # A browser names the page that sends such a request.
    headers = {"Origin": door.url}
    answer = browser.session.delete(f"{door.url}/api/v1/session", headers=headers, timeout=REQUEST_SECONDS)
    assert answer.status_code == 204, answer.text
    # Not only the browser forgets it.
    browser.session.cookies.clear()
    browser.session.cookies.set(COOKIE, kept, domain="127.0.0.1", secure=True)
    assert browser.get("/api/v1/session").status_code == 401


# Who is turned away


def test_a_forged_state_is_refused(browser, name):
    callback = browser.at_provider(browser.begin(), name)
    refused(browser, browser.get(with_query(callback, state="forged-" + "A" * 40)))


def test_a_callback_without_its_parts_is_refused(browser, name):
    callback = browser.at_provider(browser.begin(), name)
    bare = callback.split("?")[0]
    for question in ("", "?state=" + query_of(callback)["state"], "?code=" + query_of(callback)["code"]):
        refused(browser, browser.get(bare + question))


def test_a_sign_in_that_another_browser_began_is_refused(new_browser, name):
    """Else somebody could be made to work under another one's name."""
    attacker, victim = new_browser(), new_browser()
    callback = attacker.at_provider(attacker.begin(), name)
    refused(victim, victim.get(callback))
    victim.begin()
    refused(victim, victim.get(callback))


def test_a_callback_is_good_once(browser, name):
    callback = browser.at_provider(browser.begin(), name)
    assert browser.get(callback).status_code == 302
    assert browser.has_session
    del browser.session.cookies[COOKIE]
    refused(browser, browser.get(callback))


def test_a_code_that_was_used_is_refused_under_a_new_state(browser, name):
    used = browser.at_provider(browser.begin(), name)
    assert browser.get(used).status_code == 302
    del browser.session.cookies[COOKIE]
    fresh = browser.at_provider(browser.begin(), name)
    refused(browser, browser.get(with_query(fresh, code=query_of(used)["code"])))


def test_a_code_for_another_sign_in_is_refused(new_browser, name):
    """The proof key ties a code to the browser that asked for it."""
    victim, attacker = new_browser(), new_browser()
    stolen = query_of(victim.at_provider(victim.begin(), name))["code"]
    own = attacker.at_provider(attacker.begin(), name + "-attacker")
    refused(attacker, attacker.get(with_query(own, code=stolen)))


def test_a_user_who_is_turned_away_by_the_provider_is_nobody(browser):
    question = {"error": "access_denied", "state": query_of(browser.begin())["state"]}
    refused(browser, browser.get("/api/v1/session/oidc/callback?" + urllib.parse.urlencode(question)))


@pytest.mark.parametrize("part", FORGERIES)
def test_a_token_with_a_forged_part_is_refused(browser, part):
    start = browser.begin()
    if part == "nonce" and "nonce" not in query_of(start):
        pytest.skip("the proof key alone ties the token to the browser")
    refused(browser, browser.get(browser.at_provider(start, f"forged-{part}")))
