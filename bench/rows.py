"""The rows that are sent, the same ones each time, as batches of JSON lines.

Alerts are put together from pieces of text made before, so that hundreds of thousands a second come from one core.
"""

import array
import datetime
import json
import random

HUB = "/subscriptions/5f0c6c0e-0000-4000-8000-000000000001/resourceGroups/default/providers/Microsoft.Devices/IotHubs/hub"
KINDS = [
    ("Crypto coin miner image", "High", "IoT_CryptoMiner"),
    ("Reverse shell", "High", "IoT_ReverseShell"),
    ("Brute force attack failed", "Low", "IoT_Bruteforce_Fail"),
    ("Successful local login on device", "High", "IoT_SucessfulLocalLogin"),
    ("Failed local login attempt on device", "Medium", "IoT_FailedLocalLogin"),
]
DEVICES = ["device-%06d" % n for n in range(2000)]
USERS = 50
END = datetime.datetime(2026, 3, 2, tzinfo=datetime.timezone.utc)
# Of alerts and recommendations at times in any order.
DAYS = 30
SEED = 7
# About 4 MiB.
BATCH_ROWS = 5000
DAY_MICROSECONDS = 86_400_000_000

# What differs from row to row.
GAP = "@@"


def alert_pieces(name, severity, kind):
    """An alert as JSON, cut at its gaps."""
    details = {
        "CommandLine": "/usr/bin/worker --job %s --target 198.51.100.%s" % (GAP, GAP),
        "User Name": "svc" + GAP,
        "UserId": GAP,
        "DeviceId": GAP,
    }
    alert = {
        "TimeGenerated": GAP, "StartTime": GAP, "EndTime": GAP, "DisplayName": name, "AlertName": name,
        "AlertType": kind, "AlertSeverity": severity, "Description": name + " on the device.",
        "ProviderName": "IoTSecurity", "VendorName": "Turnstone", "SystemAlertId": GAP,
        "ResourceId": HUB, "ProductName": "Azure Security Center for IoT", "CompromisedEntity": GAP,
        "IsIncident": False, "ExtendedProperties": json.dumps(details), "Status": "New",
    }
    return (json.dumps(alert, separators=(",", ":")) + "\n").split(GAP)


PIECES = [alert_pieces(*kind) for kind in KINDS]
# Kinds differ in one piece alone.
KIND_PIECES = [pieces[3] for pieces in PIECES]
USER_PIECES = ["%d%s%d" % (user % USERS, PIECES[0][8], 1000 + user // USERS) for user in range(USERS * USERS)]


def alert_lines(rng, stamps):
    """An alert for each of the times."""
    head, start, end, _, hub, details, target, user, _, device, tail = PIECES[0]
    kinds, users, devices = KIND_PIECES, USER_PIECES, DEVICES
    kind_count, user_count, device_count = len(kinds), len(users), len(devices)
    ids = rng.randbytes(16 * len(stamps)).hex()
    # Each row's choices are bits of one random number.
    choices = array.array("Q", rng.randbytes(8 * len(stamps)))
    lines = []
    for id_at, time, choice in zip(range(0, len(ids), 32), stamps, choices):
        name = devices[choice % device_count]
        lines.append(
            f"{head}{time}{start}{time}{end}{time}{kinds[(choice >> 11) % kind_count]}{ids[id_at:id_at + 32]}{hub}{name}{details}"
            f"{(choice >> 14) % 1000000}{target}{choice >> 34 & 255}{user}{users[(choice >> 42) % user_count]}{device}{name}{tail}")
    return "".join(lines).encode()


def in_batches(rows, batch_rows):
    """The numbers of rows that batches have."""
    for at in range(0, rows, batch_rows):
        yield min(batch_rows, rows - at)


def stamp(day, microsecond):
    return "%sT%02d:%02d:%02d.%06dZ" % (
        day, microsecond // 3_600_000_000, microsecond // 60_000_000 % 60, microsecond // 1_000_000 % 60, microsecond % 1_000_000)


def days_before_end(days, end=END):
    """The last days of history as text, the oldest first."""
    return [(end - datetime.timedelta(days=n)).strftime("%Y-%m-%d") for n in range(days, 0, -1)]


def alert_batches(rows, batch_rows=BATCH_ROWS):
    """Alerts at times in any order."""
    rng = random.Random(SEED)
    days = days_before_end(DAYS)
    for count in in_batches(rows, batch_rows):
        moments = [divmod(rng.randrange(DAYS * DAY_MICROSECONDS), DAY_MICROSECONDS) for _ in range(count)]
        yield alert_lines(rng, [stamp(days[day], microsecond) for day, microsecond in moments])


def history_days(rows, rows_per_day):
    return -(-rows // rows_per_day)


def history_batches(rows, rows_per_day, end=END):
    """Alerts in order of time, as many each day until the end; the oldest day has what remains."""
    rng = random.Random(SEED)
    times_of_day = [stamp("", at) for at in sorted(rng.randrange(DAY_MICROSECONDS) for _ in range(rows_per_day))]
    days = days_before_end(history_days(rows, rows_per_day), end)
    missing = len(days) * rows_per_day - rows
    for day in days:
        for at in range(missing, rows_per_day, BATCH_ROWS):
            yield alert_lines(rng, [day + time for time in times_of_day[at:at + BATCH_ROWS]])
        missing = 0


def recommendation(rng, n):
    day, microsecond = divmod(rng.randrange(DAYS * DAY_MICROSECONDS), DAY_MICROSECONDS)
    time = stamp((END - datetime.timedelta(days=DAYS - day)).strftime("%Y-%m-%d"), microsecond)
    device = rng.randrange(len(DEVICES))
    # On a third of the devices the cause never goes, so that the summary of what is active has rows.
    is_active = device % 3 == 0 or rng.random() < 0.7
    return {
        "TimeGenerated": time, "DiscoveredTimeUTC": time, "RecommendationName": "IoT_OpenPorts",
        "RecommendationDisplayName": ["Open Ports On Device", "Operating system (OS) baseline validation failure"][n % 2],
        "RecommendationSeverity": ["Medium", "High"][rng.randrange(2)],
        "RecommendationState": "Active" if is_active else "Inactive", "AssessedResourceId": HUB,
        "DeviceId": DEVICES[device],
        "RecommendationAdditionalData": {"OpenPorts": "[\"tcp 0.0.0.0:%d\"]" % rng.randrange(65536)},
    }


def recommendation_batches(rows):
    rng = random.Random(SEED)
    numbers = iter(range(rows))
    # They are smaller than alerts.
    for count in in_batches(rows, 2 * BATCH_ROWS):
        made = (recommendation(rng, n) for _, n in zip(range(count), numbers))
        yield "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in made).encode()
