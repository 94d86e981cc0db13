"""`ciranda new DIR --from data.csv --target y`: the run without code as a project to edit."""

from __future__ import annotations

import json
import keyword
import os
import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

from ciranda.cli.tables import csv_task, wish_of
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import Experiment
from ciranda.i18n import told
from ciranda.tasks.datasets.csvfile import federated
from ciranda.tasks.datasets.described import described
from ciranda.tasks.datasets.encoding import CategoryColumn, Encoding, NumberColumn
from ciranda.tasks.datasets.table import read_table

TASK = '''"""What is learned: {target}, a {kind}, from {source}.

{columns}
"""

from pathlib import Path

import ciranda

TABLE = Path(__file__).parent / {path}


class {name}(ciranda.TableTask):
    name = {stem}
    hidden = ()  # widths of hidden layers: () is a linear model, (32,) a small network

    def table(self):
        return ciranda.data.from_csv(
            TABLE,
            target={target_text},
            client_column={client_column},  # whose row it is; None: the partitioner deals the rows out
            kind="{kind}",
            test_fraction=0.2,  # rows that the server keeps back to evaluate on
            drop={drop},  # columns that are no features
            keep={keep},  # columns that are, though they look like identifiers, dates or prose
            missing="fill",  # with the median or the most frequent; "drop" leaves the rows out, "error" refuses them
            min_count=1,  # a client does not tell the others of categories that fewer of its rows have
        )
'''

EXPERIMENT = """\
[experiment]
name = {stem}
task = "my_task.py:{name}"

[federation]
{federation}

[rounds]
num-rounds = {rounds}
fraction-train = 1.0         # of the clients, in each round

[client]
local-epochs = {epochs}
batch-size = {batch}
learning-rate = {rate}

[evaluate]
where = "server"             # or "clients", or "both": then each client keeps a fifth of its rows back
"""


def project(source: Path, target: str, client_column: str | None, folder: Path) -> tuple[dict[str, str], list[str]]:
    """The files of the project in `folder`, by name, and what to tell of the table.

    Unchanged it trains the same model as `ciranda run SOURCE --target TARGET`. That ends with `evaluate.where = "clients"`: the run without
    code leaves the rows that clients keep back out of scales and vocabulary, which a task that reads its own table cannot know.

    Raises:
        ExperimentError, DataError: the table cannot be used.
    """
    experiment = resolve(str(source), target=target, client_column=client_column)
    record: dict[str, Any] = dict(csv_task(experiment).data().record or {})
    encoding = Encoding.from_json(record["encoding"])
    stem = experiment.experiment.name
    dropped = list(record["found"]["left_out"])
    # Seen as one table, other columns may look like identifiers than seen by owner.
    whole = replace(wish_of(experiment.data), drop=tuple(dropped))
    kept = list((federated(read_table(source), whole, name=stem, source=stem)[0].record or {})["found"]["left_out"])
    values: dict[str, Any] = {
        "name": class_name(stem),
        "stem": _quoted(stem),
        "target": _plain(target),
        "target_text": _quoted(target),
        "client_column": _quoted(client_column) if client_column is not None else "None",
        "kind": encoding.kind,
        "drop": json.dumps(dropped, ensure_ascii=False),
        "keep": json.dumps(kept, ensure_ascii=False),
        "source": _plain(source.name),
        "path": _quoted(Path(os.path.relpath(source.resolve(), folder.resolve())).as_posix()),
        "columns": "\n".join(_columns(encoding, record["found"]["left_out"])),
        "federation": _federation(experiment, client_column),
        "rounds": experiment.rounds.num_rounds,
        "epochs": experiment.client.local_epochs,
        "batch": experiment.client.batch_size,
        "rate": experiment.client.learning_rate,
    }
    files = {"my_task.py": TASK.format(**values), "experiment.toml": EXPERIMENT.format(**values)}
    return files, [told(line) for line in described(record)]


def class_name(stem: str) -> str:
    """A Python name made of a file's: "preços 2024" becomes Precos2024."""
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    name = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", plain))
    return name if name[:1].isalpha() and not keyword.iskeyword(name) else f"Table{name}"


def _columns(encoding: Encoding, left_out: dict[str, str]) -> list[str]:
    numbers = [column.name for column in encoding.columns if isinstance(column, NumberColumn)]
    categories = [f"{column.name} ({len(column.categories)})" for column in encoding.columns if isinstance(column, CategoryColumn)]
    lines = [f"Columns of numbers: {', '.join(numbers)}."] if numbers else []
    lines += [f"Columns of categories: {', '.join(categories)}."] if categories else []
    lines += [f"Left out: {', '.join(f'{name} ({why})' for name, why in left_out.items())}."] if left_out else []
    return [_plain(line) for line in lines]


def _federation(experiment: Experiment, client_column: str | None) -> str:
    if experiment.federation.partitioner == "natural-id":
        whose = f"every {_plain(client_column)} is a client" if client_column else "every file is a client"
        return f'partitioner = "natural-id"   # {whose}'
    return (
        f'clients = {experiment.federation.clients}\npartitioner = "iid"          # also: dirichlet with alpha; `ciranda list partitioners`'
    )


def _quoted(text: str) -> str:
    """As a Python and a TOML string."""
    return json.dumps(text, ensure_ascii=False)


def _plain(name: str) -> str:
    """A name as a docstring or a comment may hold it: no quote, backslash or line break of it ends or bends that."""
    return " ".join(name.replace("\\", "/").replace('"""', "'''").splitlines())
