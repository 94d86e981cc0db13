"""Small real data sets that come with the package: digits, iris, diabetes.

`scripts/pack_data.py` makes the files from scikit-learn's copies. Each is divided 80/20 into training and test examples by
`split_indices` with `Draw(0).at("packed", data=NAME)`: always the same examples.
"""

from __future__ import annotations

import zipfile
import zlib
from importlib.resources import files

import numpy as np

from ciranda.core.errors import DataError
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Examples, FederatedData
from ciranda.tasks.datasets.arrays import divided

TEST_FRACTION = 0.2
DIGITS = tuple("0123456789")
IRIS = ("setosa", "versicolor", "virginica")
IRIS_FEATURES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
DIABETES_FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def digits() -> FederatedData:
    """1,797 handwritten digits by 13 people: x uint8 (n, 8, 8) in 0..16, y int64 (n,), ten classes; 1,438 train, 359 test.

    The test part of E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998, CC BY 4.0.
    """
    return _packed("digits", DIGITS)


def iris() -> FederatedData:
    """150 flowers, x float32 (n, 4) in cm (`IRIS_FEATURES`), y int64 (n,), three classes; 120 train, 30 test.

    R. A. Fisher, "The use of multiple measurements in taxonomic problems", 1936; UCI Machine Learning Repository, CC BY 4.0.
    """
    return _packed("iris", IRIS)


def diabetes() -> FederatedData:
    """442 patients, x float32 (n, 10) in original units (`DIABETES_FEATURES`), y float32 (n,) progression after a year; 354 train, 88 test.

    Efron, Hastie, Johnstone, Tibshirani, "Least Angle Regression", Annals of Statistics, 2004. Not standardised: columns' means run from
    1.5 to 189.
    """
    return _packed("diabetes", ())


def packed_arrays(name: str) -> tuple[Array, Array]:
    """All features and targets of a packed set in their original order, before the split. Raises DataError."""
    try:
        # Opened here, because numpy leaves a file that is no archive open.
        with (files(__package__) / "files" / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive["x"], archive["y"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            "The packed data set '{name}' is missing or damaged: {error}.", hint="Install ciranda again.", name=name, error=error
        ) from error


def _packed(name: str, classes: tuple[str, ...]) -> FederatedData:
    x, y = packed_arrays(name)
    examples = Examples(x, y.astype(np.int64) if classes else y)
    return divided(examples, classes, None, test_fraction=TEST_FRACTION, draw=Draw(0).at("packed", data=name), name=name, source="package")
