"""The notebook in `examples/` runs from its first cell to its last, in a kernel of its own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

pytest.importorskip("torch")
NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the kernel's own event loop, sockets and channels
def test_the_notebook_runs(tmp_path: Path) -> None:
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    accuracy = float(outputs["cell-7"][-1]["data"]["text/plain"])
    assert accuracy > 0.8
    assert "image/png" in outputs["cell-6"][-1]["data"]
    assert (tmp_path / "runs" / "Digits-003" / "model.safetensors").is_file()
