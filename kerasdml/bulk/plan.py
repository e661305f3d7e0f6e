"""The plan of a folder: what its shards hold, and which of them are done."""

import dataclasses
import json
import posixpath
import zipfile

import numpy as np
import tensorflow as tf

from kerasdml.bulk.files import replaced, sha256

PLAN = "plan.json"
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What must be equal for shards to go together.

    Args:
        collection: SHA-256 of what is embedded.
        model: SHA-256 of the file of the embedder.
        shards: How many files there will be.
        features: The keys of TFRecords, or None.
        format: That of the files.
    """

    collection: str
    model: str
    shards: int
    features: dict | None = None
    format: int = _FORMAT

    @property
    def sha256(self):
        return sha256([self._text().encode()])

    def claim(self, folder):
        """Makes `folder` that of this plan, unless it is.

        Raises:
            FileExistsError: If it is that of another, or holds something else.
        """
        path = posixpath.join(folder, PLAN)
        if tf.io.gfile.exists(path):
            self._check(folder, path)
            return
        tf.io.gfile.makedirs(folder)
        if [name for name in tf.io.gfile.listdir(folder) if not name.startswith(".")]:
            raise FileExistsError(
                f"{folder} holds something else already, and nothing is overwritten. "
                "Choose another folder."
            )
        with replaced(path) as file:
            file.write(self._text().encode())

    def path(self, folder, number):
        """The file of a shard."""
        name = f"embeddings-{number:05}-of-{self.shards:05}.npz"
        return posixpath.join(folder, name)

    def damaged_path(self, folder, number):
        """The list of what was left out of a shard."""
        return self.path(folder, number).removesuffix(".npz") + ".damaged.tsv"

    def has(self, folder, number):
        """Whether a shard is there, whole, and of this plan; its bytes are checked."""
        path = self.path(folder, number)
        if not tf.io.gfile.exists(path):
            return False
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                with zipfile.ZipFile(file) as archive:
                    whole = archive.testzip() is None
                return whole and str(_read(file, "plan")) == self.sha256
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError, tf.errors.OpError):
            return False

    def counts(self, folder, number):
        """How many embeddings a finished shard has, and how many were left out."""
        with tf.io.gfile.GFile(self.path(folder, number), "rb") as file:
            return len(_read(file, "ids")), int(_read(file, "damaged"))

    def _text(self):
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    def _check(self, folder, path):
        with tf.io.gfile.GFile(path, "r") as file:
            stated = json.loads(file.read())
        mine = json.loads(self._text())
        other = [key for key in mine if stated.get(key) != mine[key]]
        if other:
            raise FileExistsError(
                f"{folder} is of another plan: its {', '.join(other)} "
                f"{'differs' if len(other) == 1 else 'differ'} from what {PLAN} "
                "states. Embed what it was begun with, or choose another folder."
            )


def _read(file, name):
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return arrays[name]
