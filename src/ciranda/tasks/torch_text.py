"""The built-in text tasks in torch: which character comes next."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ciranda.core.task import FederatedData
from ciranda.tasks.torch_task import Batch, TorchTask

EMBEDDING = 8


class CharacterModel(nn.Module):
    """Embedding, recurrent layers, one linear layer: codes (b, length) -> logits, after every character while training, shape
    (b, length, characters), and after the last one else, shape (b, characters)."""

    def __init__(self, cell: type[nn.LSTM] | type[nn.GRU], characters: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, EMBEDDING)
        self.recurrent = cell(EMBEDDING, width, layers, batch_first=True)
        self.output = nn.Linear(width, characters)

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.recurrent(self.embedding(x))[0]
        logits: Tensor = self.output(states if self.training else states[:, -1])
        return logits


# McMahan et al. 2017: two layers of 256 LSTM units over an embedding of 8. The small one learns a play on a laptop in a minute.
NETWORKS: Mapping[str, Callable[[int], nn.Module]] = {
    "gru": lambda characters: CharacterModel(nn.GRU, characters, 128, 1),
    "lstm-mcmahan": lambda characters: CharacterModel(nn.LSTM, characters, 256, 2),
}


class Characters(TorchTask):
    """The next character of a text; it trains on every character of a window, and is judged by the one after it."""

    def __init__(self, name: str, load: Callable[[], FederatedData], network: str, characters: int) -> None:
        self.name = name
        self._load = load
        self._network, self._characters = network, characters

    def model(self) -> nn.Module:
        return NETWORKS[self._network](self._characters)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        logits = model(batch.x)
        if logits.ndim == 2:
            return F.cross_entropy(logits, batch.y)
        following = torch.cat([batch.x[:, 1:], batch.y[:, None]], dim=1)
        return F.cross_entropy(logits.flatten(0, 1), following.flatten())

    def data(self) -> FederatedData:
        return self._load()

    def transform(self, x: Tensor) -> Tensor:
        return x.long()
