"""More rows than there is memory for: senders are asked to wait, and what they send again is stored, once."""

import http.client
import json
import threading
import time

SENDERS = 4
BATCHES = 12
BATCH_ROWS = 2000
MEMORY_MB = 2


def batch(sender: int, number: int) -> bytes:
    rows = ({"Id": f"{sender}-{number}-{row}", "Text": "x" * 200} for row in range(BATCH_ROWS))
    return "\n".join(map(json.dumps, rows)).encode()


def test_senders_are_asked_to_wait_and_nothing_is_lost(servers):
    server = servers("--no-agent", "--ingest-memory-mb", str(MEMORY_MB))
    server.manage(".create table T (Id: string, Text: string)")
    pushed_back, unexpected = [], []

    def send(sender: int):
        connection = http.client.HTTPConnection(server.http.removeprefix("http://"), timeout=60)
        for number in range(BATCHES):
            body = batch(sender, number)
            while True:
                headers = {"Authorization": f"Bearer {server.token}"}
                connection.request("POST", "/v1/rest/ingest/default/T?streamFormat=json", body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status == 200:
                    break
                if answer.status != 429:
                    unexpected.append(f"{answer.status} {text[:300]}")
                    return
                pushed_back.append(json.loads(text)["error"]["@permanent"])
                time.sleep(float(answer.headers["Retry-After"]) / 10)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not unexpected, unexpected
    assert pushed_back and not any(pushed_back), "nobody was asked to wait"
    rows = SENDERS * BATCHES * BATCH_ROWS
    assert server.kusto("T | summarize count(), count_distinct(Id)").rows == [[rows, rows]]
