"""A `ciranda server` in a process of its own, and clients by hand that cost next to nothing."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.launch import ROOT, Failed
from ciranda.core.message import encode_update
from ciranda.core.update import Update
from ciranda.protocol.envelope import Envelope
from ciranda.runtimes.http.link import Cut, Link, Rejected

RUN = "still"


class Served:
    """The server of a run of `task.Still`; use as a `with` block."""

    def __init__(self, folder: Path, *settings: str, width: int = 1000, torch: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.out = folder / "run"
        task = f"{Path(__file__).parent / 'task.py'}:Still"
        program = "import torch\n" * torch + "import sys\nfrom ciranda.cli.app import main\nsys.exit(main())"
        command = [
            sys.executable,
            "-c",
            program,
            "server",
            task,
            "--port",
            str(self.port),
            "--out",
            str(self.out),
            "--anybody",
            f"--set=experiment.name={RUN}",
        ]
        environment = {**os.environ, "CIRANDA_BENCH_WIDTH": str(width)}
        self.process = subprocess.Popen(
            [*command, *(f"--set={each}" for each in settings)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 60
        link = Link(self.url)
        while True:
            try:
                link.ask("GET", "/readyz")
                link.close()
                return self
            except (Cut, Rejected):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Failed("the server did not start") from None
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def memory(self, field: str = "VmRSS") -> float:
        """MiB of the server's memory: VmRSS now, VmHWM the most so far, RssAnon without what files are mapped."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise Failed(f"no {field} of the server")


class Hand:
    """Client `rank` of `count` on one connection, which answers at once."""

    def __init__(self, port: int, rank: int, count: int) -> None:
        self.name, self.cursor = str(rank), ""
        self.line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.line.connect()
        self.line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = {"Content-Type": "application/json"}
        told = self.post("/v1/enrol", {"name": f"hand-{rank}"})
        self._headers["Authorization"] = f"Bearer {told['credential']}"
        self.post(f"/v1/runs/{RUN}/join", {"partition": [rank, count], "probe": "same"})

    def post(self, path: str, value: Any) -> dict[str, Any]:
        self.line.request("POST", path, json.dumps(value).encode(), self._headers)
        return dict(json.loads(self._answer()))

    def ask_news(self) -> None:
        """Send the poll; its answer is for `news`."""
        self.line.request("GET", f"/v1/next?after={self.cursor}&wait=60", headers=self._headers)

    def news(self) -> list[dict[str, Any]]:
        answer = json.loads(self._answer())
        self.cursor = answer["cursor"]
        return list(answer["events"])

    def instruction(self) -> dict[str, Any]:
        """The next instruction; waits for it."""
        while True:
            self.ask_news()
            for event in self.news():
                if event["type"] == "instruct":
                    return event

    def download(self, digest: str, into: memoryview) -> int:
        """Fetch a model into memory that is there; returns how many bytes."""
        self.line.request("GET", f"/v1/runs/{RUN}/models/{digest}", headers=self._headers)
        response = self.line.getresponse()
        got = 0
        while count := response.readinto(into[got:]):
            got += count
        return got

    def upload(self, digest: str, body: bytes) -> None:
        """Put a large body where replies find it."""
        self.line.request("PUT", f"/v1/runs/{RUN}/uploads/{digest}?offset=0&length={len(body)}", body, self._headers)
        self._answer()

    def reply(self, instruction: Mapping[str, Any], digest: str, length: int, body: bytes) -> None:
        """The reply; `body` is empty when it was uploaded."""
        fields = {"run": RUN, "sender": self.name, "to": "@server", "id": "x", "phase": instruction["phase"], "model": instruction["model"]}
        text = Envelope(kind="reply", body=digest, length=length, **fields).to_json().encode()
        frame = len(text).to_bytes(4, "little") + text + body
        self.line.request("PUT", f"/v1/runs/{RUN}/replies/{instruction['phase']}", frame, self._headers)
        self._answer()

    def _answer(self) -> bytes:
        response = self.line.getresponse()
        data = response.read()
        if response.status >= 400:
            raise Failed(f"the server answers {response.status}: {data[:300]!r}")
        return data


def body_of(width: int, step: float, weight: int) -> bytes:
    """A reply that moves every weight by `step`."""
    return encode_update(Update({"model": {"w": np.full(width, step, np.float32)}}, weight, {"n": weight, "loss": 0}))
