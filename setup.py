"""Packaging of kerasdml."""

import pathlib
import re

from setuptools import find_packages, setup

root = pathlib.Path(__file__).parent
version = re.search(
    r'__version__ = "(.+)"', (root / "kerasdml/version.py").read_text()
)[1]

serve = [
    "starlette>=0.40",
    "uvicorn>=0.30",
    "grpcio>=1.60",
    "protobuf>=5.28",
    "prometheus-client>=0.20",
]
jax = ["jax>=0.4.30"]
cars = ["scipy"]  # MATLAB files
tfds = ["tensorflow-datasets"]
onnx = ["tf2onnx>=1.17", "onnxruntime"]
beam = ["apache-beam>=2.77"]  # not in `dev`: it wants an older protobuf
report = ["scikit-learn"]  # maps
bench = ["torch", "pytorch-metric-learning", "faiss-cpu", "hnswlib"]

setup(
    name="kerasdml",
    version=version,
    description="Deep metric learning for TensorFlow and Keras 3.",
    long_description=(root / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["kerasdml", "kerasdml.*"]),
    package_data={
        "kerasdml.zoo": ["cards.json", "weights/*.keras"],
        "kerasdml.deploy": ["templates/*", "templates/*/*"],
        "kerasdml.serving.protos": ["*.proto", "descriptors.pb"],
    },
    python_requires=">=3.11,<3.14",
    install_requires=[
        "keras>=3.15",
        "tensorflow~=2.20.0",
        'scann==1.4.2; sys_platform == "linux" and platform_machine == "x86_64"',
        "numpy",
        "tensorboard",
        "matplotlib",
        "pillow",
    ],
    extras_require={
        "serve": serve,
        "jax": jax,
        "cars": cars,
        "tfds": tfds,
        "onnx": onnx,
        "beam": beam,
        "report": report,
        "bench": bench,
        "dev": [
            *serve,
            *jax,
            *cars,
            *onnx,
            *report,
            "pytest>=8",
            "pytest-xdist",
            "hypothesis",
            "ruff~=0.17.0",
            "httpx",
            "grpcio-tools",
            "pyyaml",
        ],
    },
    entry_points={"console_scripts": ["kerasdml = kerasdml.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Operating System :: POSIX :: Linux",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
