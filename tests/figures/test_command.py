"""`lra figures`: the files it writes, and that they show what the records and the weights hold."""

import re
import shlex

import matplotlib
import numpy as np
import pytest
import torch
from factory import make_record
from PIL import Image

from lra.commands.figures import kernels_of, main, write
from lra.composition import compose
from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.figures import kernels
from lra.kernels.s4d import S4D
from lra.models.build import make_model
from lra.paths import CHECKOUT, workspace
from lra.records import store
from lra.tables import run_figures
from lra.tables.figures import by_options
from lra.tables.group import group
from lra.weights import export, untrained
from lra.weights import load as load_weights

SPEC = TaskSpec("toy", "tokens", 5, 12, 4, {"train": 96, "val": 32, "test": 48})


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def records():
    return store.load_all(workspace() / "results")[0]


@pytest.fixture
def weights(tmp_path):
    """A file of a model of two layers whose eigenvalues have moved to twice their frequency."""
    recipe = compose(["model.layers=2", "model.features=8", "kernel.state_size=4"])
    torch.manual_seed(recipe["seed"])
    model = make_model(SPEC, recipe["model"], recipe["kernel"], recipe["mixer"])
    state = {
        f"model.{name}": value * (2 if name.endswith("A_imag") else 1) for name, value in model.state_dict().items()
    }
    target = tmp_path / "moved.safetensors"
    export(state, SPEC, recipe | {"experiment": "custom", "run_id": "0" * 12}, target)
    return target


def test_weights_draw_kernels_and_eigenvalues(weights, tmp_path, capsys):
    main(["--weights", str(weights), "--length", "16", "--folder", str(tmp_path)])
    names = [line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines() if line.endswith(".png")]
    assert names == [
        f"learned-{what}.png" for what in ("kernels-moved-layer-1", "kernels-moved-layer-2", "eigenvalues-moved")
    ]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_eigenvalues_before_and_after(weights):
    model = load_weights(weights)
    pairs = zip(kernels_of(untrained(model), weights), kernels_of(model, weights), strict=True)
    for before, after in pairs:
        start, end = kernels.continuous_eigenvalues(before), kernels.continuous_eigenvalues(after)
        np.testing.assert_allclose(end.imag, 2 * start.imag)
        np.testing.assert_allclose(end.real, start.real)


def test_every_kernel_with_a_continuous_system_has_eigenvalues():
    assert kernels.continuous_eigenvalues(S4D(6, state_size=4)).shape == (12,)
    assert kernels.continuous_eigenvalues(torch.nn.Identity()) is None


def test_by_options_shows_a_mean_for_each_value():
    figure = by_options(group(records(), ["kernel.init", "kernel.discretization"], "small/image-s4d"))
    two_epochs, five_epochs = figure.axes
    for axes in (two_epochs, five_epochs):
        assert [label.get_text() for label in axes.get_yticklabels()] == [
            "real",
            "random",
            "lin",
            "legs",
            "inv",
        ]
    assert "trainer.epochs=5" in figure.axes[1].get_title(loc="left")
    shown = sorted(line.get_xdata()[0] for line in five_epochs.lines if len(line.get_xdata()) == 1)
    assert len(shown) >= 6
    assert shown[-1] == pytest.approx(65.79, abs=0.005)
    assert "modified data" in figure.get_supxlabel()


def test_a_reduced_run_is_said_to_be_reduced():
    record = store.find("40d7afa22512", workspace() / "results")
    title = run_figures.run_curve(record).get_suptitle()
    assert "▽" in title
    assert "not comparable with a paper: reduced budget" in title


def test_trials_stay_out_of_the_figures(tmp_path, monkeypatch):
    """A demo in a checkout must not change what is committed."""
    trial = make_record("small/image-s4d", 0.3, kind="smoke", fraction=0.01, reasons=["1 of 2 epochs"])
    seen = []
    monkeypatch.setattr(store, "load_all", lambda _: ([trial, make_record("small/image-s4d", 0.6)], []))
    monkeypatch.setattr(run_figures, "resources", lambda records: seen.extend(records))
    with pytest.raises(UserError, match="no run to draw"):
        main(["--resources", "--folder", str(tmp_path)])
    assert [record.budget.kind for record in seen] == ["paper"]


def test_nothing_to_draw(tmp_path):
    with pytest.raises(UserError, match="no run to draw"):
        write({"a": None}, tmp_path)
    with pytest.raises(UserError, match="There is no run 'nowhere'"):
        main(["--run", "nowhere", "--folder", str(tmp_path)])


def test_resources_has_a_row_for_each_recipe():
    figure = run_figures.resources(records())
    finished = {record.identity.experiment for record in records() if record.status == "complete"}
    assert {label.get_text() for label in figure.axes[0].get_yticklabels()} == finished


def test_the_commands_of_the_page_draw_its_figures_from_todays_records(tmp_path):
    page = (CHECKOUT / "docs/figures.md").read_text(encoding="utf-8")
    for command in re.findall(r"`python scripts/make_figures\.py (--[^`]*)`", page):
        if command not in ("--help", "--weights FILE"):
            main([*shlex.split(command), "--folder", str(tmp_path)])
    drawn = {path.name: path for path in tmp_path.glob("*.png")}
    kept = {path.name: path for path in (CHECKOUT / "results/figures").glob("*.png")}
    from_records = {name for name in kept if not name.startswith(("theory-", "learned-"))}
    assert from_records <= drawn.keys()
    if f"matplotlib=={matplotlib.__version__}\n" in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8"):
        stale = [name for name in from_records if not np.array_equal(pixels(kept[name]), pixels(drawn[name]))]
        assert stale == []
