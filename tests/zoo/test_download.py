import threading

import pytest

from kerasdml import zoo


@pytest.fixture(params=["folder", "file://", "http://"])
def source(request, published, server):
    """One place in each of its three forms."""
    if request.param == "folder":
        return published.home
    if request.param == "file://":
        return published.home.as_uri()
    return server.url


def serve(server, published):
    """Puts the published files on the server, also under `/far/`."""
    for path in published.home.iterdir():
        server.files[f"/{path.name}"] = path.read_bytes()
        server.files[f"/far/{path.name}"] = path.read_bytes()


def cached(tmp_path):
    """Files in the cache, by suffix, but for the locks."""
    files = (tmp_path / "cache").rglob("*.*")
    return sorted(file.suffix for file in files if file.suffix != ".lock")


def test_brings_the_file_from_a_folder_or_an_address(
    published, server, source, weights
):
    card = published(weights)
    serve(server, published)
    assert zoo.download(card.name, source=source).read_bytes() == weights


def test_the_environment_replaces_the_base_of_the_url(
    published, server, source, weights, monkeypatch
):
    card = published(weights, url="https://nowhere.invalid/zoo/weights.keras")
    serve(server, published)
    monkeypatch.setenv("KERASDML_ZOO", str(source))
    assert zoo.download(card.name).read_bytes() == weights


def test_the_url_of_the_card_is_the_default(published, server, weights):
    card = published(weights, url=f"{server.url}/far/tiny.method_data.keras")
    serve(server, published)
    assert zoo.download(card.name).read_bytes() == weights
    assert server.seen == [("/far/tiny.method_data.keras", None)]


def test_the_second_call_asks_nobody(published, server, weights):
    card = published(weights)
    serve(server, published)
    path = zoo.download(card.name, source=server.url)
    assert zoo.download(card.name, source=server.url) == path
    assert len(server.seen) == 1


def test_packaged_weights_are_used_where_they_lie(published, weights, monkeypatch):
    card = published(weights, packaged=True)
    monkeypatch.setenv("KERASDML_ZOO", "https://nowhere.invalid")
    assert zoo.download(card.name) == published.package / card.file


def test_a_given_source_comes_before_the_package(published, weights):
    card = published(weights, packaged=True)
    path = zoo.download(card.name, source=published.home)
    assert path.parent != published.package
    assert path.read_bytes() == weights


def test_the_address_of_a_source_may_end_in_a_slash(published, server, weights):
    card = published(weights)
    serve(server, published)
    zoo.download(card.name, source=f"{server.url}/far/")
    assert server.seen == [("/far/tiny.method_data.keras", None)]


def test_downloads_are_kept_where_the_user_keeps_caches(
    published, tmp_path, monkeypatch
):
    card = published(b"w")
    path = zoo.download(card.name, source=published.home)
    assert path.parent == tmp_path / "cache" / "kerasdml" / "zoo"
    monkeypatch.setenv("KERASDML_CACHE", str(tmp_path / "ours"))
    path = zoo.download(card.name, source=published.home)
    assert path.parent == tmp_path / "ours" / "zoo"


def test_a_given_cache_dir_is_used(published, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASDML_CACHE", str(tmp_path / "ours"))
    card = published(b"w")
    path = zoo.download(card.name, published.home, cache_dir=tmp_path / "mine" / "zoo")
    assert path.parent == tmp_path / "mine" / "zoo"


def test_new_weights_of_the_same_name_do_not_meet_the_old(published, weights):
    old = zoo.download(published(b"old").name, source=published.home)
    new = zoo.download(published(weights).name, source=published.home)
    assert (old.read_bytes(), new.read_bytes()) == (b"old", weights)


def test_an_interrupted_download_is_continued(published, server, weights, tmp_path):
    card = published(weights)
    serve(server, published)
    server.cut = 400_000
    with pytest.raises(
        ConnectionError, match="interrupted at 400000 of 1000000 bytes .* Call again"
    ):
        zoo.download(card.name, source=server.url)
    assert cached(tmp_path) == [".part"]
    server.cut = None
    assert zoo.download(card.name, source=server.url).read_bytes() == weights
    assert [asked for _, asked in server.seen] == [None, "bytes=400000-"]
    assert cached(tmp_path) == [".keras"]


def test_a_server_without_ranges_starts_over(published, server, weights):
    card = published(weights)
    serve(server, published)
    server.cut, server.ranges = 400_000, False
    with pytest.raises(ConnectionError, match="interrupted"):
        zoo.download(card.name, source=server.url)
    server.cut = None
    assert zoo.download(card.name, source=server.url).read_bytes() == weights


def test_a_server_that_names_no_length_is_believed_to_the_byte(
    published, server, weights
):
    card = published(weights)
    serve(server, published)
    server.lengths = False
    assert zoo.download(card.name, source=server.url).read_bytes() == weights


@pytest.mark.parametrize(
    "lengths, message", [(True, "it has 1000000 bytes"), (False, "it has 11 bytes")]
)
def test_a_longer_file_is_refused_without_reading_it_all(
    published, server, weights, lengths, message, tmp_path
):
    card = published(weights[:10])
    server.files[f"/{card.file}"], server.lengths = weights, lengths
    with pytest.raises(ValueError, match=f"is not the file of the card.*: {message}"):
        zoo.download(card.name, source=server.url)
    assert cached(tmp_path) == []


def test_a_download_that_is_complete_but_for_its_name_asks_nobody(
    published, server, weights
):
    card = published(weights)
    path = zoo.download(card.name, source=published.home)
    path.rename(path.with_name(path.name + ".part"))
    assert zoo.download(card.name, source=server.url).read_bytes() == weights
    assert server.seen == []


def test_a_tampered_download_is_refused_and_the_next_call_recovers(
    published, server, weights, tmp_path
):
    card = published(weights)
    server.files[f"/{card.file}"] = weights[::-1]
    with pytest.raises(
        ValueError,
        match=f"the card says 1000000 bytes with {card.sha256}. It was remov",
    ):
        zoo.download(card.name, source=server.url)
    assert cached(tmp_path) == []
    serve(server, published)
    assert zoo.download(card.name, source=server.url).read_bytes() == weights


def test_a_continued_download_that_does_not_fit_together_is_refused(
    published, server, weights
):
    card = published(weights)
    server.files[f"/{card.file}"], server.cut = weights[::-1], 400_000
    with pytest.raises(ConnectionError):
        zoo.download(card.name, source=server.url)
    serve(server, published)
    server.cut = None
    with pytest.raises(ValueError, match="call again to fetch it anew"):
        zoo.download(card.name, source=server.url)
    assert zoo.download(card.name, source=server.url).read_bytes() == weights


def test_a_cached_file_that_changed_is_refused_and_the_next_call_recovers(
    published, weights
):
    card = published(weights)
    path = zoo.download(card.name, source=published.home)
    path.write_bytes(weights[:-1] + b"?")
    with pytest.raises(ValueError, match="It was removed"):
        zoo.download(card.name, source=published.home)
    assert zoo.download(card.name, source=published.home).read_bytes() == weights


def test_packaged_weights_that_changed_are_refused_but_stay(published, weights):
    card = published(weights, packaged=True)
    (published.package / card.file).write_bytes(b"?")
    with pytest.raises(ValueError, match="Install kerasdml again"):
        zoo.download(card.name)
    assert (published.package / card.file).exists()


def test_a_rest_that_the_server_does_not_have_is_fetched_from_the_start(
    published, server, weights
):
    # 416: the server's file is shorter than what has arrived, so it is another file.
    card = published(weights)
    serve(server, published)
    server.cut = 400_000
    with pytest.raises(ConnectionError):
        zoo.download(card.name, source=server.url)
    server.files[f"/{card.file}"] = weights[:300_000]
    with pytest.raises(
        ValueError, match="it has 300000 bytes, and the card says 1000000"
    ):
        zoo.download(card.name, source=server.url)


def test_two_at_once_fetch_it_once(published, server, weights):
    card = published(weights)
    serve(server, published)
    paths = []
    threads = [
        threading.Thread(
            target=lambda: paths.append(zoo.download(card.name, source=server.url))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.seen) == 1
    assert [path.read_bytes() == weights for path in paths] == [True] * 4


def test_a_card_without_a_url_asks_for_a_source(published, weights):
    card = published(weights)
    with pytest.raises(ValueError, match="has no `url`.* KERASDML_ZOO"):
        zoo.download(card.name)


def test_a_missing_file_is_named(published, server, tmp_path):
    card = published(b"w")
    with pytest.raises(ConnectionError, match=f"{card.file}: HTTP Error 404"):
        zoo.download(card.name, source=server.url)
    with pytest.raises(FileNotFoundError, match=card.file):
        zoo.download(card.name, source=tmp_path)


def test_a_server_that_is_not_there_is_named(published, server):
    card = published(b"w")
    server.server_close()
    with pytest.raises(ConnectionError, match=f"Could not download {server.url}"):
        zoo.download(card.name, source=server.url)


def test_an_unknown_kind_of_address_is_refused(published):
    card = published(b"w")
    with pytest.raises(ValueError, match="Received: ftp://example.org/tiny"):
        zoo.download(card.name, source="ftp://example.org")


def test_the_bar_is_for_terminals(published, capsys, monkeypatch, weights):
    zoo.download(published(b"w").name, source=published.home)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    zoo.download(published(weights).name, source=published.home)
    shown = capsys.readouterr().err.split("\r")
    assert "0.3 of 1.0 MB" in shown[1]
    assert shown[-1].endswith(f"[{'=' * 30}] 1.0 of 1.0 MB\n")
