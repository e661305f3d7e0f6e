"""A small set of coloured images, and the report of it."""

import numpy as np
import pytest

from kerasdml import reports

HOSTILE = [
    '<script>alert("&")</script>',
    "$x_{$",
    "a" * 90,
    "Straße 日本",
    "%s\t\n{}",
    "e",
]


@pytest.fixture(scope="session")
def data():
    """6 classes of 5, not all told apart, with names that are hard to print."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 5)
    return {
        "embeddings": rng.normal(size=(6, 4))[labels] + 0.5 * rng.normal(size=(30, 4)),
        "labels": labels,
        "images": rng.integers(0, 256, (30, 12, 9, 3), np.uint8),
        "class_names": np.array(HOSTILE),
    }


@pytest.fixture(scope="session")
def folder(data, tmp_path_factory):
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("report") / "new"
    reports.write(
        folder,
        **data,
        scores={"recall_at_1": 0.5, "k-means": {"nmi": 0.25, "clusters": 1234}},
        protocol="Line 1 <b>\nline 2",
        title="<i>Title</i>",
        queries=3,
        neighbours=4,
        verbose=0,
    )
    return folder
