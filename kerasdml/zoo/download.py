"""Weights from a URL or a folder into a cache, whole or not at all.

`keras.utils.get_file` starts an interrupted download again from nothing, so the
transfer is written here: a `.part` file that the next call continues, and that gets
its final name only when its SHA-256 is that of the card.
"""

import contextlib
import fcntl
import http.client
import os
import pathlib
import sys
import urllib.error
import urllib.parse
import urllib.request

from kerasdml.zoo import cards
from kerasdml.zoo.cards import Card

_CHUNK = 1 << 18  # bytes; small enough for a lively bar on a slow line
_TIMEOUT = 30  # seconds without a byte before the line counts as dead


def download(
    name: str,
    source: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
) -> pathlib.Path:
    """Fetches the weights of a published embedder, unless they are there already.

    An interrupted download is continued by the next call. A file whose SHA-256 is not
    that of the card is refused and removed, and the next call starts anew.

    Args:
        name: One of `names()`.
        source: A folder, or a `file://`, `https://` or `http://` address of one, that
            replaces the base of the card's URL: `<source>/<file>` is fetched. Default:
            the package where it has the weights, else the environment variable
            `KERASDML_ZOO`, else the card's URL.
        cache_dir: Where downloads are kept. Default: `zoo` in the folder that the
            environment variable `KERASDML_CACHE` names, else in `kerasdml` in the
            user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`).

    Returns:
        The path of the `.keras` file, verified.

    Raises:
        ValueError: If no embedder has that name, there is nowhere to fetch it from,
            or what is there is not the file of the card.
        FileNotFoundError: If `source` is a folder without the file.
        ConnectionError: If the download fails or is interrupted.

    Example:

    >>> path = kerasdml.zoo.download(name, source="https://mirror.example.org/zoo")
    """
    wanted = cards.card(name)
    packaged = cards.WEIGHTS / wanted.file
    if source is None and packaged.exists():
        return _verified(packaged, wanted, otherwise="Install kerasdml again.")
    path = _cache(cache_dir) / f"{wanted.file[:-6]}-{wanted.sha256[:8]}.keras"
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        if not path.exists():
            part = path.with_name(path.name + ".part")
            _continue(_address(wanted, source), part, wanted.bytes)
            _verified_or_removed(part, wanted).rename(path)
        return _verified_or_removed(path, wanted)


def _cache(cache_dir):
    if cache_dir is not None:
        return pathlib.Path(cache_dir)
    if own := os.environ.get("KERASDML_CACHE"):
        return pathlib.Path(own) / "zoo"
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "kerasdml" / "zoo"


@contextlib.contextmanager
def _alone(path):
    """Lets one process at a time, of all that share the cache, work on `path`."""
    with path.with_name(path.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _address(wanted: Card, source) -> str:
    """Where to fetch a card's file from: a URL or a path."""
    base = source or os.environ.get("KERASDML_ZOO")
    if base:
        return f"{os.fspath(base).rstrip('/')}/{wanted.file}"
    if wanted.url is None:
        raise ValueError(
            f"The card of {wanted.name!r} has no `url`, and its weights do not come "
            f"with the package. Say which folder or address holds {wanted.file!r}: "
            "`source=`, or the environment variable KERASDML_ZOO."
        )
    return wanted.url


def _continue(address, part, size):
    """Brings `part` up to `size` bytes from `address`."""
    done = part.stat().st_size if part.exists() else 0
    if done >= size:
        return
    with _open(address, done) as (stream, start, total):
        if total not in (None, size):
            raise ValueError(
                f"{address} is not the file of the card: it has {total} bytes, and "
                f"the card says {size}. Nothing was kept of it."
            )
        try:
            with part.open("ab" if start else "wb") as file:
                done = start
                # One byte more than wanted is enough to know a wrong file.
                while chunk := stream.read(min(_CHUNK, size + 1 - done)):
                    done += file.write(chunk)
                    _show_progress(part.stem, done, size)
            cause = None if total is None or done >= total else "the connection closed"
        except (OSError, http.client.HTTPException) as error:
            cause = error
    if cause:
        raise ConnectionError(
            f"The download of {address} was interrupted at {done} of {size} bytes "
            f"({cause}). Call again to continue from there."
        )


@contextlib.contextmanager
def _open(address, start):
    """Opens an address at byte `start`, or at 0 if the server cannot.

    Gives the stream, the byte it starts at, and the size of the whole file in bytes
    (`None` if the server does not say).
    """
    url = urllib.parse.urlsplit(address)
    if url.scheme in ("", "file"):
        path = pathlib.Path(
            urllib.request.url2pathname(url.path) if url.scheme else address
        )
        with path.open("rb") as file:
            file.seek(start)
            yield file, start, path.stat().st_size
    elif url.scheme in ("https", "http"):
        with _request(address, start) as response:
            start = start if response.status == 206 else 0
            length = response.headers["Content-Length"]
            yield response, start, None if length is None else start + int(length)
    else:
        raise ValueError(
            "Weights come from a folder, or from file://, https:// or http://. "
            f"Received: {address}."
        )


def _request(url, start):
    """Asks an HTTP server for a file from byte `start` on."""
    headers = {"User-Agent": "kerasdml", "Range": f"bytes={start}-"}
    if not start:
        del headers["Range"]
    try:
        return urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=_TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _request(url, 0)
        raise ConnectionError(f"Could not download {url}: {error}.") from error
    except OSError as error:
        raise ConnectionError(f"Could not download {url}: {error}.") from error


def _verified(path, wanted: Card, otherwise):
    """`path`, if it is the file of the card, else an error that says `otherwise`."""
    found = cards.fingerprint(path)
    if found["sha256"] != wanted.sha256:
        raise ValueError(
            f"{path.name} is not the file of the card of {wanted.name!r}: it has "
            f"{found['bytes']} bytes with SHA-256 {found['sha256']}, and the card says "
            f"{wanted.bytes} bytes with {wanted.sha256}. {otherwise}"
        )
    return path


def _verified_or_removed(path, wanted: Card):
    try:
        return _verified(path, wanted, "It was removed; call again to fetch it anew.")
    except ValueError:
        path.unlink()
        raise


def _show_progress(name, done, size):
    """Draws the bar on a terminal; elsewhere it would only fill a log."""
    if not sys.stderr.isatty():
        return
    bar = "=" * int(30 * done / size)
    end = "\n" if done >= size else ""
    megabytes = f"{done / 1e6:.1f} of {size / 1e6:.1f} MB"
    print(f"\r{name} [{bar:<30}] {megabytes}", end=end, file=sys.stderr, flush=True)
