"""A notebook's way in: the bar and the samples appear below the cell."""

import nbclient
import nbformat
from conftest import ROOT


def test_training_in_a_cell_shows_the_bar_and_the_samples(tmp_path, data_dir):
    settings = f"gamma=0.5, steps=20, batch_size=8, data_dir={data_dir!r}, out={str(tmp_path / 'run')!r}"
    cell = nbformat.v4.new_code_cell(f"import began; began.train(began.Hyperparameters({settings}))")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = notebook.cells[0].outputs
    shown = [output for output in outputs if output.output_type == "display_data"]
    assert any("image/png" in output.data for output in shown)
    assert "0/20 [" in str(outputs)  # the bar: a widget where ipywidgets is installed, else text
    assert "gamma 0.5" in str(outputs)
    assert (tmp_path / "run/samples.png").exists()
