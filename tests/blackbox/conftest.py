"""What every test may ask for: data folders, and servers that are stopped when the test is over."""

import pytest
from turnstone_server import Server


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Makes servers on new data folders; they live as long as the tests of the file."""
    made = []

    def make(*arguments, **options) -> Server:
        made.append(Server(tmp_path_factory.mktemp("turnstone") / "data", *arguments, **options))
        return made[-1].start()

    yield make
    for server in made:
        server.end()


@pytest.fixture
def new_server(tmp_path):
    """Makes servers that are not started yet; what still runs when the test is over is stopped."""
    made = []

    def make(*arguments, **options) -> Server:
        made.append(Server(tmp_path / f"data-{len(made)}", *arguments, **options))
        return made[-1]

    yield make
    for server in made:
        server.end()
