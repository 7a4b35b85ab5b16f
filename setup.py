"""Packaging of vfnet_d2. Imports neither torch nor the package: pip runs it on bare machines."""

import re
from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """`__version__` of vfnet_d2/__init__.py, as text: importing it would need Detectron2."""
    text = (ROOT / "vfnet_d2" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('vfnet_d2/__init__.py: expected a line such as `__version__ = "0.1.0"`')
    return found.group(1)


# configs/ stands at the root, where users of Detectron2 look for it, and ships as a package.
CONFIG_FOLDERS = find_namespace_packages(where=str(ROOT / "configs"), exclude=["*__pycache__*"])
CONFIG_PACKAGES = ["vfnet_d2.configs", *(f"vfnet_d2.configs.{name}" for name in CONFIG_FOLDERS)]

setup(
    name="vfnet-d2",
    version=read_version(),
    description="VarifocalNet (VFNet) and its family of dense detectors on Detectron2",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[*find_packages(include=["vfnet_d2", "vfnet_d2.*"]), *CONFIG_PACKAGES],
    package_dir={"vfnet_d2.configs": "configs"},
    package_data={
        "": ["*.yaml"],
        "vfnet_d2": ["assets/*.pth", "assets/*.json"],
        "vfnet_d2.evaluation.report": ["page.html", "page.css"],
    },
    # The ranges that should work; requirements.txt is the tested set. Left out on purpose are
    # - detectron2, which the package index does not have: tools/install_detectron2.py brings it.
    #   It installs Detectron2 alone, so what Detectron2 needs is listed here;
    # - OpenCV: opencv-python and opencv-python-headless overwrite each other, and which of them is
    #   there is the user's choice. `python -m vfnet_d2.doctor` says when cv2 is missing.
    install_requires=[
        "torch>=2.10",
        "torchvision>=0.25",
        "cloudpickle",
        "defusedxml",
        "fvcore>=0.1.5.post20221221",
        "hydra-core>=1.1",
        "iopath>=0.1.9",
        "jinja2>=3.0",
        "matplotlib>=3.6",
        "numpy>=1.24",
        "omegaconf>=2.1",
        "packaging",
        "pillow>=9.1",
        "portalocker>=3.0",
        "psutil",
        "pycocotools>=2.0.6",
        "PyYAML>=5.1",
        "safetensors>=0.4",
        "scipy",
        "tabulate",
        "tensorboard",
        "termcolor>=1.1",
        "tqdm>4.29",
        "yacs>=0.1.8",
    ],
    extras_require={
        # COCO's evaluation compiled; same results up to rounding
        "fast": ["faster-coco-eval>=1.8"],
        "dev": [
            "hypothesis",
            "import-linter",
            "mypy",
            "pre-commit",
            "pytest>=7",
            "pytest-xdist",
            "ruff",
        ],
    },
    entry_points={"console_scripts": ["vfnet = vfnet_d2.cli.main:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
