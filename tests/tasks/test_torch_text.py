"""Recurrent models of characters: the suite of all tasks, on a short text that repeats."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings, FederatedData, Task
from ciranda.tasks.datasets.plays import ALPHABET, federate
from ciranda.tasks.torch_engine import TorchEngine
from ciranda.tasks.torch_task import Batch
from ciranda.tasks.torch_text import NETWORKS, Characters
from ciranda.testing.tasks import TaskConformance


def song(name: str) -> FederatedData:
    text = "".join("A ciranda, a ciranda, vamos todos cirandar.\n" for _ in range(30))
    return federate({"one": text, "two": text[7:]}, name)


class TestGru(TaskConformance):
    settings = ClientSettings(local_epochs=2, batch_size=8, learning_rate=0.5)

    def make(self) -> Task:
        return TorchEngine(Characters("song", partial(song, "song"), "gru", len(ALPHABET)))


@pytest.mark.slow
class TestLstmOfMcMahan(TaskConformance):
    settings = ClientSettings(local_epochs=2, batch_size=8, learning_rate=1.0)

    def make(self) -> Task:
        return TorchEngine(Characters("song", partial(song, "song"), "lstm-mcmahan", len(ALPHABET)))


def test_training_asks_for_every_character_and_evaluation_for_the_one_that_follows() -> None:
    task = Characters("song", partial(song, "song"), "gru", len(ALPHABET))
    torch.manual_seed(0)
    model = NETWORKS["gru"](len(ALPHABET))
    batch = Batch(torch.arange(12).reshape(2, 6), torch.tensor([6, 12]))
    whole = model.train()(batch.x)
    assert whole.shape == (2, 6, len(ALPHABET))
    rows = torch.log_softmax(whole, dim=2)
    following = torch.arange(1, 13).reshape(2, 6)
    expected = -rows.gather(2, following[:, :, None]).mean()
    assert task.loss(model, batch).item() == pytest.approx(expected.item(), rel=1e-5)
    last = model.eval()(batch.x)
    torch.testing.assert_close(last, whole[:, -1])
    assert task.loss(model, batch).item() == pytest.approx(-rows[[0, 1], -1, [6, 12]].mean().item(), rel=1e-5)


def test_a_song_is_learned_by_heart() -> None:
    task = TestGru().make()
    data = task.data()
    model = task.train(task.initial(Draw(1)), data.train, ClientSettings(20, 8, learning_rate=1.0), Draw(2)).arrays
    assert (task.predict(model, data.test.x).argmax(axis=1) == data.test.y).mean() > 0.9
    assert np.isclose(task.predict(model, data.test.x).sum(axis=1), 1).all()
