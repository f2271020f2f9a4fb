"""How long a small batch takes on an idle server, beside what the disk takes to keep as much.

Batches and syncs are taken in turn, so that both meet the same disk at the same time.
"""

import itertools
import math
import os
import time

import rows
from turnstone import Refused

BATCH_ROWS = 10
# About what ten rows take.
SYNC_BYTES = 8 << 10
WARM_UP = 20
SYNC_FACTOR = 2
ALLOWANCE_SECONDS = 0.005


def percentile(values, percent):
    """The least value that so many percent of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def sync_seconds(file, block):
    started = time.perf_counter()
    os.write(file, block)
    os.fdatasync(file)
    return time.perf_counter() - started


def measured(server, folder, batches):
    """Of a server without rows."""
    connection = server.connection()
    bodies = rows.alert_batches((WARM_UP + batches) * BATCH_ROWS, BATCH_ROWS)
    for body in itertools.islice(bodies, WARM_UP):
        server.ingest(connection, "SecurityAlert", body)
    path = os.path.join(folder, "synced")
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    block = os.urandom(SYNC_BYTES)
    sync, batch = [], []
    try:
        sync_seconds(file, block)
        for body in bodies:
            sync.append(sync_seconds(file, block))
            started = time.perf_counter()
            pushed_back = server.ingest(connection, "SecurityAlert", body)
            batch.append(time.perf_counter() - started)
            if pushed_back:
                raise Refused("an idle server pushed a small batch back")
    finally:
        os.close(file)
        os.remove(path)
    p50, p99 = percentile(batch, 50), percentile(batch, 99)
    bound = SYNC_FACTOR * percentile(sync, 99) + ALLOWANCE_SECONDS
    print("batch: p50 %.2f ms, p99 %.2f ms; at most %.2f ms are allowed" % (p50 * 1e3, p99 * 1e3, bound * 1e3), flush=True)
    return {
        "batches": batches, "batch_rows": BATCH_ROWS, "sync_bytes": SYNC_BYTES,
        "batch": {"p50_seconds": p50, "p99_seconds": p99, "all_seconds": batch},
        "sync": {"p50_seconds": percentile(sync, 50), "p99_seconds": percentile(sync, 99), "all_seconds": sync},
        "bound_seconds": bound, "holds": max(p50, p99) <= bound,
    }
