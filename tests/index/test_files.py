"""Saved indexes outlive whatever happens to writers and disks."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from kerasdml import index
from kerasdml.index import files

DIM = 8


def embeddings(count=40, seed=0):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype("float32")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "deep" / "index"
    index.Exact.build(embeddings(), labels=range(40)).save(path)
    return path


def finds_all(made, count=40):
    assert made.search(embeddings(count), k=1)[1][:, 0].tolist() == list(range(count))


class TestVersions:
    def test_are_arrays_and_a_manifest(self, path):
        assert sorted(f.name for f in path.iterdir()) == [".lock", "1"]
        assert {file.suffix for file in (path / "1").iterdir()} == {".json", ".npy"}
        for file in (path / "1").glob("*.npy"):
            np.load(file, allow_pickle=False)

    def test_can_be_read_by_whom_any_directory_can(self, path):
        (path / "plain").mkdir()
        assert (path / "1").stat().st_mode == (path / "plain").stat().st_mode

    def test_say_what_they_hold(self, path):
        manifest = files.read_manifest(path / "1")
        expected = {"class": "Exact", "size": 40, "dim": DIM, "similarity": "cosine"}
        assert manifest.items() >= {**expected, "added": 0, "removed": 0}.items()

    def test_follow_one_another_and_can_be_gone_back_to(self, path):
        made = index.load(path)
        made.add(embeddings(1, seed=1), [40], labels=[0])
        assert made.save(path) == path / "2"
        made.remove([0])
        assert made.save(path) == path / "3"
        assert [index.load(path, version=v).size for v in (1, 2, 3)] == [40, 41, 40]
        assert index.load(path).size == index.load(path / "3").size == 40
        assert index.versions(path) == [1, 2, 3]
        with pytest.raises(FileNotFoundError, match="no version 4 .* Versions: 1, 2, "):
            index.load(path, version=4)

    def test_share_files_that_did_not_change(self, path):
        made = index.load(path)
        made.add(embeddings(1, seed=1), [40], labels=[0])
        made.save(path)
        one, two = (path / v / "embeddings.npy" for v in "12")
        assert one.samefile(two)
        # A shared file that was damaged meanwhile is written anew.
        one.unlink()
        one.write_bytes(b"damaged")
        made._book.files["embeddings"] = (one, made._book.files["embeddings"][1])
        made.remove([40])
        made.save(path)
        finds_all(index.load(path, version=3))

    def test_are_never_overwritten(self, path):
        other = index.Exact.build(embeddings())
        with pytest.raises(FileExistsError, match="pass `version=2` to add this one"):
            other.save(path)
        with pytest.raises(FileExistsError, match="nothing is overwritten"):
            other.save(path, version=1)
        assert other.save(path, version=7) == path / "7"
        for bad in (0, -1, True, 1.5, "2"):
            with pytest.raises(ValueError, match="positive integer. Received"):
                other.save(path, version=bad)

    def test_hold_no_versions_of_their_own(self, path):
        with pytest.raises(ValueError, match="is a version of an index. Save to the d"):
            index.load(path / "1").save(path / "1")
        assert index.versions(path / "1") == []

    def test_of_two_writers_lose_nothing(self, path):
        one, other = index.load(path), index.load(path)
        one.add(embeddings(1, seed=1), [40], labels=[0])
        other.add(embeddings(1, seed=2), [41], labels=[0])
        one.save(path)
        with pytest.raises(FileExistsError, match="Another writer has saved version 2"):
            other.save(path)
        assert index.load(path).ids[-1] == 40

    def test_load_by_their_own_class(self, path):
        with pytest.raises(ValueError, match="not 'Scann'.*`index.load`"):
            index.Scann.load(path)

    def test_load_with_the_expected_size_only(self, path):
        assert index.load(path, dim=DIM).dim == DIM
        with pytest.raises(ValueError, match=f"of size {DIM}. Received: dim=128"):
            index.load(path, dim=128)


class TestDamage:
    def test_of_any_file_is_noticed(self, path):
        for file in (path / "1").glob("*.npy"):
            content = file.read_bytes()
            for damaged in (
                content[:-1] + bytes([content[-1] ^ 1]),
                content[: len(content) // 2],
                b"",
                None,
            ):
                file.unlink()
                if damaged is not None:
                    file.write_bytes(damaged)
                with pytest.raises(ValueError, match=f"{file.name}' is missing or was"):
                    index.load(path, mmap=True)
                file.write_bytes(content)
        finds_all(index.load(path))

    def test_of_any_bit_of_the_manifest_is_noticed(self, path):
        file = path / "1" / "index.json"
        content = file.read_bytes()
        for place in range(len(content) - 1):
            flipped = content[place] ^ (1 << place % 8)
            file.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
            try:
                read = files.read_manifest(path / "1")
            except ValueError:
                continue
            # White space, or an escape of the same letter.
            file.write_bytes(content)
            assert read == files.read_manifest(path / "1")

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"size": 39}, "Copy or build the index anew"),
            ({"class": "Nearest"}, "unknown class 'Nearest'. Known classes: Exact"),
            ({"format": 9}, "has index format 9, but this kerasdml reads format 2"),
            ({"files": {"../../1/ids.npy": ""}}, "names a file outside"),
            ({"files": {"/etc/passwd": ""}}, "names a file outside"),
        ],
    )
    def test_by_whoever_knows_the_format_is_noticed(self, path, change, message):
        manifest = files.read_manifest(path / "1") | change
        manifest["sha256"] = files._hash_of(manifest)
        (path / "1" / "index.json").write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match=message):
            index.load(path)

    @pytest.mark.parametrize("text", ["{", "[]", "{}", "3"])
    def test_leaves_no_manifest(self, path, text):
        (path / "1" / "index.json").write_text(text)
        with pytest.raises(ValueError, match="is not the manifest of an index"):
            index.load(path)

    def test_never_unpickles(self, path, tmp_path):
        class Bomb:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "exploded"),)

        file = path / "1" / "ids.npy"
        file.unlink()
        np.save(file, np.array([Bomb()], object), allow_pickle=True)
        manifest = files.read_manifest(path / "1")
        manifest["files"]["ids.npy"] = files.sha256(file)
        (path / "1" / "index.json").unlink()
        del manifest["format"]
        files.write_manifest(path / "1", manifest)
        with pytest.raises(ValueError, match="allow_pickle=False"):
            index.load(path)
        assert not (tmp_path / "exploded").exists()

    def test_there_is_no_index(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no index at .* no 'index.json'"):
            index.load(tmp_path)


def test_ids_are_never_paths(tmp_path):
    ids = ["../../escaped", "/etc/passwd", "..", "", "a/b\\c", "\n"]
    index.Exact.build(embeddings(6), ids, metadata=ids).save(tmp_path / "index")
    assert [entry.name for entry in tmp_path.iterdir()] == ["index"]
    assert index.load(tmp_path / "index").ids.tolist() == ids


def test_a_second_writer_is_told_of_the_first(path):
    entered, leave = threading.Event(), threading.Event()

    def first():
        with files.only_writer(path):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(30)
    made = index.load(path)
    made.remove([39])
    try:
        with pytest.raises(BlockingIOError, match=f"process {os.getpid()}. Save agai"):
            made.save(path)
    finally:
        leave.set()
        thread.join()
    assert made.save(path) == path / "2"


class TestFullDisk:
    def test_leaves_what_was_there(self, path, monkeypatch):
        made = index.load(path)
        made.add(embeddings(1, seed=1), [40], labels=[0])

        def full(file, array, **kwargs):
            file.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(np, "save", full)
            with pytest.raises(OSError, match="No space left"):
                made.save(path)
        assert sorted(f.name for f in path.iterdir()) == [".lock", "1"]
        assert index.load(path).size == 40
        made.save(path)
        assert index.load(path).ids[-1] == 40

    def test_of_a_real_disk_too(self, tmp_path):
        mounted = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(tmp_path)]
        if subprocess.run(mounted, capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a small disk")
        try:
            made = index.Exact.build(embeddings(8000))
            made.remove(range(100, 8000))
            with pytest.raises(OSError, match="No space left"):
                made.save(tmp_path / "index")
            assert index.versions(tmp_path / "index") == []
            made.compact()
            made.save(tmp_path / "index")
            finds_all(index.load(tmp_path / "index"), 100)
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)


# Kills itself at the n-th of the calls that change the disk.
KILLED = """
import importlib.util, os, pathlib, signal, sys
import numpy as np

spec = importlib.util.spec_from_file_location("files", sys.argv[1])
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
path = pathlib.Path(sys.argv[2])

def write(version, left):
    def counted(call):
        def calls(*args, **kwargs):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return calls

    for owner, name in (
        (np, "save"), (os, "fsync"), (os, "link"), (files, "write_manifest"),
        (pathlib.Path, "rename"), (pathlib.Path, "mkdir"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))
    old = path / "1" / "a.npy"
    unchanged = {"a": (old, files.sha256(old))}
    with files.only_writer(path), files.new_directory(path / str(version)) as draft:
        arrays = {"a": np.arange(9), "b": np.arange(version)}
        files.write(draft, {}, arrays, unchanged)

for left in range(1, 100):
    child = os.fork()
    if not child:
        write(2, left)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(left, status, files.versions(path), flush=True)
    if files.versions(path) == [1, 2]:
        break
"""


def test_of_drafts_of_a_version_only_the_abandoned_go(tmp_path):
    left = tmp_path / ".1.0.tmp"
    left.mkdir()
    with files.new_directory(tmp_path / "1") as first:
        assert not left.exists()
        with files.new_directory(tmp_path / "2"):
            assert first.exists()
        with (
            pytest.raises(KeyError),
            files.new_directory(tmp_path / "1") as second,
        ):
            assert first.exists() and first != second
            raise KeyError
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2"]


def test_a_writer_killed_at_any_step_leaves_all_or_nothing(tmp_path):
    path = tmp_path / "index"
    with files.only_writer(path), files.new_directory(path / "1") as draft:
        files.write(draft, {}, {"a": np.arange(9)}, {})
    run = subprocess.run(
        [sys.executable, "-c", KILLED, files.__file__, path],
        capture_output=True,
        text=True,
        check=True,
    )
    *killed, last = [line.split(" ", 2) for line in run.stdout.splitlines()]
    assert len(killed) > 8, "so many steps there are at least"
    assert all(line[1:] == ["9", "[1]"] for line in killed)
    assert last[2] == "[1, 2]"
    for version in (1, 2):
        manifest = files.read_manifest(path / str(version))
        arrays, _ = files.read_arrays(path / str(version), manifest, mmap=False)
        assert (arrays["a"] == np.arange(9)).all()
    # What is left of killed writers goes when the next one comes.
    with files.only_writer(path):
        assert {entry.name for entry in path.iterdir()} == {".lock", "1", "2"}


CHANGES = """
import sys
import numpy as np
from kerasdml import index

made = index.load(sys.argv[1])
rng = np.random.default_rng(3)
for new in range(40, 100000):
    made.add(rng.normal(size=(1, 8)), [new], labels=[new])
    made.remove([new - 40])
    if new % 5 == 0:
        made.compact()
    made.save(sys.argv[1])
    print(new, flush=True)
"""


def test_what_was_saved_before_a_kill_is_there_after_it(path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHANGES, path], stdout=subprocess.PIPE, text=True
    )
    for new in child.stdout:
        if int(new) >= 47:
            break
    child.send_signal(signal.SIGKILL)
    last = [int(line) for line in child.stdout]  # said before it was killed
    child.wait()
    last = max([int(new), *last])
    made = index.load(path)
    # A version may have come that was not said any more, but none is lost.
    assert made.ids.tolist() in ([*range(n - 39, n + 1)] for n in (last, last + 1))
    made.remove(made.ids[:1])
    made.save(path)
