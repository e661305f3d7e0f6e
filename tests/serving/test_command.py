"""What `kerasdml search` finds on a server is what it finds in the directory."""

import json

import pytest

from kerasdml import cli, serving


@pytest.fixture
def search(tmp_path, paint, capsys):
    (tmp_path / "red.png").write_bytes(paint((255, 0, 0)))

    def run(where, *words):
        status = cli.main(["search", str(where), str(tmp_path / "red.png"), *words])
        shown = capsys.readouterr()
        return shown.out if status == 0 else shown.err

    return run


def test_search_asks_a_server(search, server, saved_model):
    expected = [("rot", 10, pytest.approx(1)), ("żółty 🙂", 40, pytest.approx(0.6))]
    urls = [f"{server.url}/v1/models/colours", f"{server.grpc_url}/colours"]
    for where in (saved_model, *urls):
        (found,) = json.loads(search(where, "-k", "2", "--json"))
        items = [(x["id"], x["label"], x["score"]) for x in found["neighbours"]]
        assert items == expected
        assert "must be from 1 to 3" in search(where, "-k", "4")
    assert "Unknown model 'birds'" in search(f"{server.url}/v1/models/birds")


def test_search_bears_a_token(search, saved_model, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    with serving.start(saved_model, token="s3cret", grpc_port=None) as server:
        url = f"{server.url}/v1/models/colours"
        assert "must bear the token" in search(url)
        assert "rot" in search(url, "--token-file", str(tmp_path / "token"))
