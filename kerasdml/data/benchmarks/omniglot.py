"""Omniglot: Lake et al., Science 2015."""

import numpy as np

from kerasdml.data.benchmarks.official import number, require
from kerasdml.data.packs import Pack

# 30 alphabets and 20 others; every character was drawn by 20 people.
COUNTS = {"train": (19280, 964), "test": (13180, 659)}
FOLDERS = ("images_background", "images_evaluation")


def read(root):
    require(root, *FOLDERS)
    # <folder>/<alphabet>/character<number>/<character>_<drawer>.png
    halves = [sorted((root / folder).glob("*/*/*_*.png")) for folder in FOLDERS]
    for folder, half in zip(FOLDERS, halves, strict=True):
        if not half:
            raise FileNotFoundError(
                f"{str(root / folder)!r} must have a folder for every alphabet, and in "
                "it one of drawings for every character. No drawing is there."
            )
    files = [file for half in halves for file in half]
    labels, names = number([f"{f.parts[-3]}/{f.parts[-2]}" for f in files])
    alphabets, _ = number([file.parts[-3] for file in files])
    return Pack(
        images=[str(file) for file in files],
        labels=labels,
        class_names=names,
        split=np.repeat([0, 1], [len(half) for half in halves]),
        fields={
            "alphabet_labels": alphabets,
            "drawer": np.array([int(file.stem.split("_")[1]) for file in files]),
        },
    )
