"""Make the packed data sets of the package from scikit-learn's copies: `python scripts/pack_data.py [FOLDER]`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits, load_iris

Array = NDArray[Any]
FOLDER = Path(__file__).parents[1] / "src/ciranda/tasks/datasets/files"


def sets() -> dict[str, tuple[Array, Array]]:
    """Name -> (x, y) in scikit-learn's order and the smallest dtype that loses nothing a measurement holds."""
    digits, iris, diabetes = load_digits(), load_iris(), load_diabetes(scaled=False)
    return {
        "digits": (digits.images.astype(np.uint8), digits.target.astype(np.uint8)),
        "iris": (iris.data.astype(np.float32), iris.target.astype(np.uint8)),
        "diabetes": (diabetes.data.astype(np.float32), diabetes.target.astype(np.float32)),
    }


def main(folder: Path) -> None:
    """Write one npz file for each set, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in sets().items():
        buffer = io.BytesIO()
        np.savez_compressed(buffer, x=x, y=y)
        part = folder / f"{name}.npz.part"
        with part.open("wb") as file:
            file.write(buffer.getvalue())
            os.fsync(file.fileno())
        part.replace(folder / f"{name}.npz")
        print(f"{folder / name}.npz: {len(buffer.getvalue())} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
