"""Federated averaging as its paper writes it: McMahan et al., AISTATS 2017, https://arxiv.org/abs/1602.05629, Algorithm 1.

The plain twin of `ciranda.core.strategies.FedAvg`, in the paper's letters: K clients, a fraction C of them per round, E local
epochs, batches of B, learning rate eta. A test holds both to the same model. The model is softmax regression.
"""

from __future__ import annotations

import numpy as np

Weights = dict[str, np.ndarray]
Client = tuple[np.ndarray, np.ndarray]  # x: (n_k, features), y: (n_k,)


def server_executes(w: Weights, clients: list[Client], rounds: int, C: float, E: int, B: int, eta: float, seed: int) -> Weights:
    rng = np.random.default_rng(seed)
    K = len(clients)
    for _ in range(rounds):
        m = max(int(C * K), 1)
        S = rng.choice(K, m, replace=False)
        w = average([(len(clients[k][1]), client_update(clients[k], w, E, B, eta, rng)) for k in S])
    return w


def average(replies: list[tuple[int, Weights]]) -> Weights:
    n = sum(n_k for n_k, _ in replies)
    return {name: np.sum([n_k / n * w_k[name] for n_k, w_k in replies], axis=0) for name in replies[0][1]}


def client_update(client: Client, w: Weights, E: int, B: int, eta: float, rng: np.random.Generator) -> Weights:
    x, y = client
    for _ in range(E):
        order = rng.permutation(len(y))
        for start in range(0, len(y), B):
            b = order[start : start + B]
            g = gradient(w, x[b], y[b])
            w = {name: w[name] - eta * g[name] for name in w}
    return w


def gradient(w: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
    """Of the mean cross-entropy over the batch."""
    z = x @ w["weight"] + w["bias"]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return {"weight": x.T @ p / len(y), "bias": p.mean(axis=0)}


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=2.0, size=(3, 5))
    labels = [rng.integers(0, 3, n_k) for n_k in rng.integers(10, 60, 20)]
    clients = [(centres[y] + rng.normal(size=(len(y), 5)), y) for y in labels]
    w = server_executes({"weight": np.zeros((5, 3)), "bias": np.zeros(3)}, clients, rounds=20, C=0.5, E=1, B=10, eta=0.1, seed=1)
    right = sum(int(((x @ w["weight"] + w["bias"]).argmax(axis=1) == y).sum()) for x, y in clients)
    print(f"accuracy over all clients: {right / sum(len(y) for y in labels):.3f}")
