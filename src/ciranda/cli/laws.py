"""`ciranda check my_strategy.py`: the conformance suite over the strategies, stages and selection rules in a user's file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ciranda.core.errors import ExperimentError, blame
from ciranda.core.parameters import build
from ciranda.core.texts import Text
from ciranda.i18n import _, told
from ciranda.plugins.families import SELECTION, STAGE, STRATEGY, Family
from ciranda.plugins.files import first_line, load_module, split
from ciranda.testing.selections import SelectionLaws
from ciranda.testing.stages import StageLaws
from ciranda.testing.strategies import ClientRuleLaws, StrategyLaws

# family -> its suite, and the attribute under which the suite wants what it checks
SUITES: tuple[tuple[Family, type[Any], str], ...] = (
    (STRATEGY, StrategyLaws, "strategy"),
    (STAGE, StageLaws, "stage"),
    (SELECTION, SelectionLaws, "rule"),
)
Suite = tuple[Family, type[Any], str]


def check_laws(spec: str) -> int:
    """Check what "FILE.py[:CLASS]" has of these kinds, print a verdict for each law, and return how many classes were checked.

    Raises:
        ExperimentError: an error in the file, a class that cannot be made, or a law that does not hold.
    """
    file, wanted = split(spec)
    path = Path(file).resolve()
    if not path.is_file():
        raise ExperimentError("There is no file {path}.", path=path)
    module = load_module(path, ExperimentError)
    checked = 0
    for suite in SUITES:
        for name in suite[0].classes(module):
            if wanted in ("", name):
                _check(suite, f"{path}:{name}")
                checked += 1
    return checked


def _check(suite: Suite, spec: str) -> None:
    family, laws, attribute = suite
    kind = family.find(spec)
    made = build(kind, Text("{noun} '{name}'", noun=family.noun, name=kind.__name__), {})
    if family is STRATEGY and made.client is not None:
        laws = ClientRuleLaws
    print(f"{told(family.noun)} {kind.__name__}: {kind.name}")
    broken = total = 0
    for law, why in verdicts(laws, attribute, made):
        total += 1
        broken += bool(why)
        print(f"  {_('broken') if why else _('holds')}  {law}" + (f": {why}" if why else ""))
    if broken:
        raise ExperimentError(
            "{broken} of {total} laws do not hold for {name}.",
            hint="The laws are in ciranda.testing; a test can inherit them.",
            broken=broken,
            total=total,
            name=kind.__name__,
        )


def verdicts(laws: type[Any], attribute: str, made: object) -> Iterator[tuple[str, str]]:
    """(law, why it is broken, "" if it holds) for each law of a suite, in its order."""
    for method in dir_in_order(laws):
        suite = laws()
        setattr(suite, attribute, made)
        yield method.removeprefix("test_").replace("_", " "), _broken(getattr(suite, method))


def dir_in_order(laws: type[Any]) -> list[str]:
    """The names of a suite's laws as they stand in its file."""
    names = (name for each in reversed(laws.__mro__) for name in vars(each) if name.startswith("test_"))
    return list(dict.fromkeys(names))


def _broken(law: Callable[[], None]) -> str:
    try:
        law()
    except AssertionError as error:
        return str(first_line(error))
    except Exception as error:
        place = blame(error)
        return f"{type(error).__name__}: {first_line(error)}" + (f" ({place})" if place else "")
    return ""
