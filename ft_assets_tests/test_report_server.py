"""The server of reports and data cards: their pages, and nothing else of the store."""

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from ft_assets.artifacts import ArtifactStore
from ft_assets.report_server import card_url, handler, report_url

VERSION = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server of a store with a report and a data card, and a table beside them."""
    store = ArtifactStore(tmp_path)
    for asset, page in (("evaluation_report", "report"), ("data_card", "data_card")):
        with store.staging("tickets", asset) as staging:
            staging.write_text(f"{page}.html", f"<h1>{asset}</h1>")
            staging.write_json(page, {"asset": asset})
            staging.write_text("examples.parquet", "texts")
            store.commit(
                staging,
                data_version=VERSION,
                build_key=VERSION,
                inputs={},
                config={},
                code_version="c",
                summary={},
            )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(tmp_path, lambda _: None)) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(("page", "asset"), [("report", "evaluation_report"), ("data_card", "data_card")])
def test_a_page_and_its_numbers_are_served_under_a_policy_that_forbids_scripts(
    server: str, page: str, asset: str
) -> None:
    place = f"{server}/tickets/{VERSION}/{page}"
    html, numbers = requests.get(f"{place}.html", timeout=60), requests.get(f"{place}.json", timeout=60)
    assert html.text == f"<h1>{asset}</h1>" and numbers.json() == {"asset": asset}
    assert "default-src 'none'" in html.headers["Content-Security-Policy"]
    assert f"/tickets/{VERSION}/{page}.html" in requests.get(server, timeout=60).text


@pytest.mark.parametrize(
    "path",
    [
        *("examples.parquet", "manifest.json", "data_card.css", "data_card.html/..", "../data_card.html"),
        *("report_html", "data_card.html%0a"),
    ],
)
def test_nothing_else_of_the_store_is_served(server: str, path: str) -> None:
    assert requests.get(f"{server}/tickets/{VERSION}/{path}", timeout=60).status_code == 404


def test_links_lead_to_what_is_served(server: str) -> None:
    for url in (card_url("tickets", VERSION), report_url("tickets", VERSION)):
        path = url.split("/", 3)[3]
        assert requests.get(f"{server}/{path}", timeout=60).status_code == 200


def test_a_store_without_pages_says_so(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(tmp_path, lambda _: None)) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        told = requests.get(f"http://127.0.0.1:{made.server_address[1]}", timeout=60).text
        made.shutdown()
        thread.join()
    assert "materialise a task" in told and "materialise the data of a task" in told
