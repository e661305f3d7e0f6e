"""Time of embedding a list of JPEG files: one file, `bulk.embed`, and Apache Beam.

    python benchmarks/embedding.py
    python benchmarks/embedding.py --images 500 --backbone conv4 --csv ''

Each starts a process of its own, whose time counts from the first line to the last: it
loads TensorFlow and the model, and so does each worker of a runner. CPU seconds are of
all processes together, and vary less than time where others use the machine.
"""

import argparse
import datetime
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import row_files
from PIL import Image

RESULTS = pathlib.Path(__file__).parent / "results" / "embedding.csv"
PROCESSES = ["--direct_running_mode", "multi_processing", "--direct_num_workers"]
WAYS = {
    "one file": [],
    "tf.data": ["--shards", "8"],
    "DirectRunner, 1 worker": ["--runner", "DirectRunner", "--beam", *PROCESSES, "1"],
    "DirectRunner, 2 workers": ["--runner", "DirectRunner", "--beam", *PROCESSES, "2"],
}
EMBED = "import sys; from kerasdml import cli; sys.exit(cli.main(sys.argv[1:]))"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--pixels", type=int, default=256, help="side of a file")
    parser.add_argument("--size", type=int, default=96, help="what the embedder takes")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--csv", default=RESULTS, help="file to add the rows to")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for row in measured(args, pathlib.Path(folder)):
            print(
                f"{row['way']}: {row['images_per_second']} images/s, "
                f"{row['seconds']} s, {row['cpu_seconds']} CPU s"
            )
            if args.csv:
                row_files.add(pathlib.Path(args.csv), row)


def measured(args, folder):
    write_images(folder / "photos", args.images, args.pixels)
    make = (
        "import sys, kerasdml; kerasdml.models.Embedder(sys.argv[1], dim=128, "
        "weights=None, input_shape=(int(sys.argv[2]),) * 2 + (3,)).save(sys.argv[3])"
    )
    model = folder / "embedder.keras"
    words = [args.backbone, str(args.size), model]
    subprocess.run([sys.executable, "-c", make, *words], check=True)
    for number, (way, options) in enumerate(WAYS.items()):
        out = folder / (f"{number}" if options else f"{number}.npz")
        if "--runner" in options:
            options = ["--shards", "8", *options]
        words = ["embed", model, folder / "photos", "--out", out, *options]
        seconds, cpu_seconds = run([sys.executable, "-c", EMBED, *words])
        yield {
            "way": way,
            "images": args.images,
            "pixels": args.pixels,
            "backbone": args.backbone,
            "size": args.size,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "images_per_second": round(args.images / seconds, 1),
            "load": round(os.getloadavg()[0], 1),
            "cores": os.cpu_count(),
            "date": datetime.date.today().isoformat(),
        }


def write_images(folder, count, pixels):
    """JPEG files with edges and some noise, in two classes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"class{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((pixels, pixels)).save(path, quality=90)


def run(words):
    """Seconds and CPU seconds of a command, with the processes it starts."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


if __name__ == "__main__":
    main()
