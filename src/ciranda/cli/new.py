"""`ciranda new DIR`: a project that runs at once, to be changed into one's own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from ciranda.core.errors import CirandaError, ExperimentError
from ciranda.i18n import _, language
from ciranda.store.files import write_whole

TORCH_TASK = '''"""What is learned, and from which data. Change the three methods into your own."""

import torch.nn.functional as F
from torch import nn

import ciranda


class MyTask(ciranda.TorchTask):
    def model(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def loss(self, model, batch):
        return F.cross_entropy(model(batch.x), batch.y)

    def data(self):
        return ciranda.data.digits()  # yours: ciranda.data.from_arrays(x, y, test_fraction=0.2)
'''

NUMPY_TASK = '''"""What is learned, and from which data. Change the data and the widths into your own."""

import ciranda
from ciranda.tasks.numpy_models import NumpyTask


def data():
    return ciranda.data.digits()  # yours: ciranda.data.from_arrays(x, y, test_fraction=0.2)


class MyTask(NumpyTask):
    def __init__(self):
        super().__init__("my-task", data, widths=(64, 32, 10))  # inputs, hidden, classes
'''

EXPERIMENT = """\
[experiment]
name = "my-experiment"
task = "my_task.py:MyTask"

[federation]
clients = 10
partitioner = "iid"          # also: dirichlet with alpha, pathological with num-classes-per-partition

[rounds]
num-rounds = 5
fraction-train = 0.5

[client]
local-epochs = 5
batch-size = 16
learning-rate = 0.01
"""

README: Mapping[str, str] = {
    "en": """\
# My federated project

    ciranda check my_task.py            # is the task sound? one batch, every parameter listed
    ciranda run experiment.toml         # train; the result lies in runs/my-experiment-001
    ciranda plot                        # draw the latest run
    ciranda predict runs/my-experiment-001 test:0

`my_task.py` says what is learned and from which data, `experiment.toml` how the federation trains. A key of it is changed for
one run with `--set`, as in `ciranda run experiment.toml --set rounds.num-rounds=10`; `ciranda list` tells what can be named in it.
""",
    "pt": """\
# Meu projeto federado

    ciranda check my_task.py            # a tarefa está certa? um lote, todos os parâmetros
    ciranda run experiment.toml         # treina; o resultado fica em runs/my-experiment-001
    ciranda plot                        # desenha a última execução
    ciranda predict runs/my-experiment-001 test:0

`my_task.py` diz o que se aprende e com quais dados; `experiment.toml`, como a federação treina. Muda-se uma chave em uma só
execução com `--set`, como em `ciranda run experiment.toml --set rounds.num-rounds=10`; `ciranda list` diz o que se pode usar.
""",
}


def new(folder: Path, source: Path | None = None, target: str | None = None, client_column: str | None = None) -> None:
    """Write the project into `folder`, which must be new or empty.

    Args:
        source: a CSV file, or a folder of them, that the project is to learn from; then with its `target` column and perhaps the
            column of the clients.

    Raises:
        CirandaError: there is something in the folder already, or the table cannot be used. StoreError: it cannot be written.
    """
    if source is None and (target is not None or client_column is not None):
        raise CirandaError("--target and --client-column go with --from data.csv.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CirandaError("{folder} is not empty.", hint="Name a folder that does not exist yet.", folder=folder)
    readme, lines = README[language()], list[str]()
    if source is None:
        files = {"my_task.py": TORCH_TASK if find_spec("torch") is not None else NUMPY_TASK, "experiment.toml": EXPERIMENT}
    else:
        from ciranda.cli.new_table import project

        if target is None:
            raise ExperimentError("Which column of {source} should be predicted?", hint="Name it: --target COLUMN", source=source)
        files, lines = project(source, target, client_column, folder)
        readme = readme.replace("my-experiment", source.resolve().stem)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**files, "README.md": readme}.items():
        write_whole(folder / name, [text.encode()])
    for line in lines:
        print(line)
    print(_("Made {folder}", folder=folder))
    print(f"{_('Next')}: cd {folder} && ciranda run experiment.toml")
