"""Apache Beam: the same files."""

import pytest

from tests.bulk.conftest import contents

pytest.importorskip("apache_beam", reason="Apache Beam is in `make test-beam`")


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading", "multi_processing"])
def test_a_runner_writes_what_one_process_writes(embed, listed, mode, tmp_path):
    path, *_ = listed
    embed(path, tmp_path / "1", shards=3)
    words = [f"--direct_running_mode={mode}", "--direct_num_workers=2"]
    runner = {"runner": "DirectRunner", "runner_options": words}
    written = embed(path, tmp_path / "2", shards=3, **runner)
    assert written.embeddings == 10
    assert contents(tmp_path / "2") == contents(tmp_path / "1")


def test_a_runner_goes_on_with_what_one_process_began(embed, listed, tmp_path):
    path, names, _ = listed
    last = path.parent / names[-1]
    whole = last.read_bytes()
    last.unlink()
    with pytest.raises(ValueError, match=f"{names[-1]} cannot be read as an image"):
        embed(path, tmp_path / "out", shards=3)
    first = tmp_path / "out/embeddings-00000-of-00003.npz"
    before = first.stat().st_mtime_ns
    with pytest.raises(ValueError, match=f"{names[-1]} cannot be read as an image"):
        embed(path, tmp_path / "out", shards=3, runner="DirectRunner")
    last.write_bytes(whole)
    embed(path, tmp_path / "out", shards=3, runner="DirectRunner")
    assert first.stat().st_mtime_ns == before
    embed(path, tmp_path / "1", shards=3)
    assert contents(tmp_path / "out") == contents(tmp_path / "1")


def test_an_unknown_runner_is_refused(embed, listed, tmp_path):
    with pytest.raises(ValueError, match="Unexpected pipeline runner: Nobody"):
        embed(listed[0], tmp_path / "out", runner="Nobody")
