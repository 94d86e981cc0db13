"""`ciranda doctor`: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from importlib.util import find_spec
from pathlib import Path

from ciranda.cli.output import bytes_text
from ciranda.core.errors import CirandaError
from ciranda.i18n import _, number, tell
from ciranda.tasks.datasets import DATASETS
from ciranda.tasks.datasets.locate import cache_folder

# What is imported where the package's name on the registry is another.
MODULES = {
    "torch": ("torch",),
    "data": ("pyarrow", "PIL"),
    "plots": ("matplotlib",),
    "http": ("fastapi", "uvicorn", "httpx"),
    "mqtt": ("paho", "amqtt"),
    "serverless": ("pymongo", "boto3"),
    "flower": ("flwr",),
    "huggingface": ("datasets",),
    "trees": ("xgboost", "lightgbm", "sklearn"),
    "privacy": ("dp_accounting", "opacus", "cryptography"),
    "web": ("nicegui", "sqlalchemy"),
    "tracking": ("tensorboard", "mlflow"),
}
FEW_FILES = 256


@dataclass(frozen=True)
class Finding:
    """One line: what, what was found, whether it is well, and what to do if it is not. Only what is `needed` makes the doctor fail."""

    name: str
    found: str
    good: bool = True
    advice: str = ""
    needed: bool = False


def doctor() -> int:
    """Print every finding; the exit status is 1 if something that every run needs is missing."""
    findings = list(examine())
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'ok ' if finding.good else '-- '} {finding.name:<{width}}  {finding.found}")
        if not finding.good and finding.advice:
            print(f"    {'':<{width}}  {finding.advice}")
    broken = [finding for finding in findings if finding.needed and not finding.good]
    print(_("Not ready to train: {names}", names=", ".join(finding.name for finding in broken)) if broken else _("Ready to train"))
    return 1 if broken else 0


def examine() -> Iterator[Finding]:
    """Look at the interpreter, the machine, the folders, the data sets and the extras."""
    yield Finding("python", platform.python_version(), sys.version_info >= (3, 11), _("Ciranda needs Python 3.11 or newer."), needed=True)
    yield Finding("ciranda", version("ciranda") if _installed("ciranda") else _("missing"))
    yield Finding("numpy", version("numpy"), needed=True)
    yield _torch()
    yield Finding(_("cores"), str(cores()))
    yield _memory()
    yield _open_files()
    yield from (_writable(_("runs"), Path.cwd(), needed=True), _writable(_("cache"), cache_folder(), needed=False))
    yield from map(_data_set, DATASETS)
    yield from (_extra(extra) for extra in MODULES)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _torch() -> Finding:
    if not _installed("torch"):
        return Finding("torch", _("missing"), False, "pip install 'ciranda[torch]'")
    import torch

    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return Finding("torch", f"{version('torch')} ({device}, {torch.backends.cpu.get_cpu_capability()})")


def _memory() -> Finding:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return Finding(_("memory"), "?")
    return Finding(_("memory"), bytes_text(total))


def _open_files() -> Finding:
    try:
        import resource
    except ImportError:
        return Finding(_("open files"), "?")
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    unlimited = soft == resource.RLIM_INFINITY
    return Finding(_("open files"), _("unlimited") if unlimited else str(soft), unlimited or soft >= FEW_FILES, "ulimit -n 1024")


def _writable(name: str, folder: Path, *, needed: bool) -> Finding:
    """Whether files can be made in `folder`, or where it would be created."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    good = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    state = _("writable") if good else _("not writable")
    return Finding(name, f"{folder} ({state})", good, f"chmod u+rwx {existing}", needed)


def _data_set(name: str) -> Finding:
    """Whether the data set can be loaded: it is tried."""
    try:
        data = DATASETS[name].load()
    except CirandaError as error:
        text, hint = error.in_language(tell)
        return Finding(f"{_('data')}: {name}", text.partition("\n")[0], False, hint)
    return Finding(f"{_('data')}: {name}", f"{number(len(data.train), ',')} + {number(len(data.test), ',')}  {data.source}")


def _extra(name: str) -> Finding:
    missing = [module for module in MODULES[name] if find_spec(module) is None]
    found = _("found") if not missing else f"{_('missing')}: {', '.join(missing)}"
    return Finding(f"{_('extra')} {name}", found, not missing, f"pip install 'ciranda[{name}]'")


def _installed(package: str) -> bool:
    try:
        metadata(package)
    except PackageNotFoundError:
        return False
    return True
