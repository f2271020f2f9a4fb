"""Queries over several databases: by their names, by aliases, in groups, and within what `restrict` leaves visible."""

import uuid

import pytest
from turnstone_server import Server


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent")


@pytest.fixture(scope="module")
def names(server) -> tuple[str, str]:
    """Two databases: both have Logins, of different columns; the second alone has Other."""
    first, second = (f"Site{letter}{uuid.uuid4().hex[:8]}" for letter in "AB")
    for name in (first, second):
        server.manage(f".create database {name}")
    server.manage(".set Logins <| datatable(User: string, N: long) ['ada', 1, 'grace', 2]", first)
    server.manage(".set Logins <| datatable(User: string, N: int) ['linus', 3]", second)
    server.manage(".set Other <| print z = 1", second)
    return first, second


def refused(server, query, database) -> str:
    answer = server.admin("POST", "/v1/rest/query", {"db": database, "csl": query})
    assert answer.status == 400, f"{answer.status} {answer.text}"
    return answer.json["error"]["@message"]


def test_tables_of_databases_that_match_a_pattern(server, names):
    first, second = names
    assert server.kusto(f"union database('{second}').* | count", first).value == 2
    found = server.kusto("union withsource=From database('Site*').Log* | summarize count() by From | sort by From asc", first)
    assert found.rows == [[f'database("{first}").Logins', 2], [f'database("{second}").Logins', 1]]
    assert server.kusto(f"database('{second}').Other | join kind=inner (print z = 1) on z | count", first).value == 1


def test_an_alias_names_a_database(server, names):
    first, second = names
    query = f"alias database there = database('{second}'); database('there').Logins | project User"
    assert server.kusto(query, first).values == ["linus"]
    assert "no database named 'nowhere'" in refused(server, "alias database x = database('nowhere'); print 1", first)
    assert "another cluster" in refused(server, "alias database x = cluster('c').database('d'); print 1", first)


def test_statements_for_each_database_of_a_group(server, names):
    first, second = names
    group = f"entity_group [database('{first}'), database('{second}')]"
    each = server.kusto(f"macro-expand {group} as S (S.Logins | summarize n = count() | extend site = S.$current_database)", first)
    assert sorted(each.rows) == sorted([[2, first], [1, second]])
    # One name with two types becomes two columns, as in a union.
    named = server.kusto(f"let G = {group}; macro-expand G as S (let t = S.Logins; t | where User != 'ada') | sort by User asc", first)
    assert (named.columns, named.types) == (["User", "N_long", "N_int"], ["string", "long", "int"])
    assert named.rows == [["grace", 2, None], ["linus", None, 3]]
    assert server.kusto(f"let G = {group}; macro-expand isfuzzy=true G (G.Other) | count", first).value == 1
    assert "Other" in refused(server, f"macro-expand {group} as S (S.Other)", first)
    assert "twice" in refused(server, f"macro-expand entity_group [database('{first}'), database('{first}')] as S (S.Logins)", first)
    assert "no group of databases named 'H'" in refused(server, "macro-expand H as S (S.Logins)", first)


def test_restrict_hides_what_it_does_not_name(server, names):
    first, second = names
    view = "let Seen = view () { Logins | where N > 1 }; let Kept = view () { Logins };"
    assert server.kusto(f"{view} restrict access to (Seen); Seen | project User", first).values == ["grace"]
    assert server.kusto(f"{view} restrict access to (Seen); union * | project User", first).values == ["grace"]
    assert "Logins" in refused(server, f"{view} restrict access to (Seen); Logins", first)
    assert "Kept" in refused(server, f"{view} restrict access to (Seen); Kept", first)
    assert "Logins" in refused(server, f"restrict access to (Logins); database('{second}').Logins", first)
    assert "Logins" in refused(server, "restrict access to (*); Logins", first)
    assert "Logins" in refused(server, "restrict access to (database().*); database('" + second + "').Logins", first)
    assert server.kusto("restrict access to (Log*); table('Logins') | count", first).value == 2
    # What is hidden once stays hidden.
    assert "Logins" in refused(server, f"{view} restrict access to (Kept); restrict access to (Logins); Logins", first)
    # What is named must be there.
    assert "named 'Logons'. Did you mean 'Logins'?" in refused(server, "restrict access to (Logons); print 1", first)
    assert "no database named 'x'" in refused(server, "restrict access to (database('x').*); print 1", first)
