"""`externaldata`: files on hosts that the owner of the server has allowed, and on no others."""

import gzip
import http.server
import threading

import pytest
from turnstone_server import Server

FILES = {
    "/list.csv": b"address,level\n192.0.2.1,3\n192.0.2.7,5\n",
    "/packed.csv.gz": gzip.compress(b"192.0.2.9,8\n"),
    "/rows.json": b'{"address": "192.0.2.1", "more": {"a": 1}}\n{"address": "192.0.2.2"}\n',
    "/words.txt": b"one\n\ntwo, three\r\n",
    "/bad.json": b'{"address": "x"}\n[1]\n',
}


class Files(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self):
        Files.asked.append(self.path)
        path = self.path.split("?")[0]
        if path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/secret")
            self.end_headers()
            return
        body = FILES.get(path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def files():
    """A server of files; its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def server(servers, files) -> Server:
    return servers("--no-agent", "--external-data-host", files)


def refused(server, query) -> str:
    answer = server.admin("POST", "/v1/rest/query", {"db": "default", "csl": query})
    assert answer.status == 400, f"{answer.status} {answer.text}"
    return answer.json["error"]["@message"]


def test_records_become_rows(server, files):
    query = f"""externaldata (address: string, level: int) [h@"http://{files}/list.csv?sig=secret"] with (format="csv", ignoreFirstRecord=true)
    | sort by level desc"""
    result = server.kusto(query)
    assert (result.columns, result.types) == (["address", "level"], ["string", "int"])
    assert result.rows == [["192.0.2.7", 5], ["192.0.2.1", 3]]
    # What the address hides is not shown.
    assert "secret" not in str(server.manage(".show queries").rows)


def test_several_files_are_one_table_and_names_say_the_format(server, files):
    query = f"externaldata (a: string, n: long) ['http://{files}/packed.csv.gz', 'http://{files}/packed.csv.gz']"
    assert server.kusto(query).rows == [["192.0.2.9", 8]] * 2
    query = f"externaldata (address: string, more: dynamic) [@'http://{files}/rows.json'] | project address, more.a"
    assert server.kusto(query).rows == [["192.0.2.1", 1], ["192.0.2.2", None]]
    assert server.kusto(f"externaldata (word: string) ['http://{files}/words.txt']").values == ["one", "two, three"]


def test_it_stands_wherever_rows_do(server, files):
    rows = f"externaldata (address: string, level: int) ['http://{files}/list.csv'] with (ignoreFirstRecord=true)"
    seen = "datatable(ip: string) ['192.0.2.7', '192.0.2.8']"
    assert server.kusto(f"let L = {rows}; {seen} | where ip in (L | project address)").values == ["192.0.2.7"]
    assert server.kusto(f"{seen} | join kind=inner ({rows}) on $left.ip == $right.address | project level").values == [5]
    assert server.kusto(f"{seen} | where ip in (({rows} | project address))").values == ["192.0.2.7"]
    assert server.kusto(f"print toscalar({rows} | summarize max(level))").value == 5
    assert server.kusto(f"union ({rows}), ({rows}) | count").value == 4


def test_other_hosts_are_not_asked(server, files):
    port = files.split(":")[1]
    for address in (f"http://localhost:{port}/list.csv", "http://127.0.0.1:1/x", f"ftp://{files}/x", f"http://{files}@evil.example/x"):
        assert "has not allowed" in refused(server, f"externaldata (a: string) ['{address}']")
    # A redirect is not followed.
    assert "302" in refused(server, f"externaldata (a: string) ['http://{files}/moved']")


def test_what_cannot_be_read_is_said(server, files):
    assert "404" in refused(server, f"externaldata (a: string) ['http://{files}/none.csv']")
    message = refused(server, f"externaldata (address: string) ['http://{files}/bad.json?sig=secret']")
    assert "record 2" in message and "/bad.json" in message and "secret" not in message
    assert "'parquet'" in refused(server, f"externaldata (a: string) ['http://{files}/list.csv'] with (format='parquet')")
    assert "declared twice" in refused(server, f"externaldata (a: string, a: long) ['http://{files}/x']")


def test_where_nothing_is_allowed_it_is_refused_by_name(servers, files):
    closed = servers("--no-agent")
    before = len(Files.asked)
    message = refused(closed, f"externaldata (a: string) ['http://{files}/list.csv']")
    assert "'externaldata' is not supported" in message and "owner can allow hosts" in message
    assert len(Files.asked) == before
