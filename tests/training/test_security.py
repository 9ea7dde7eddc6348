"""What comes from elsewhere is data and never code, and what is written names nobody."""

import ast
import hashlib
import itertools
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from factory import make_record
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy import folders

import lra
from lra import environment, weights
from lra.config import Config
from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.mixers.pointwise import Pointwise
from lra.models.build import make_model
from lra.paths import CHECKOUT
from lra.records import store
from lra.records.capture import anonymous
from lra.training.checkpoint import saved
from lra.training.evaluate import find
from lra.training.run import run

SOURCES = [CHECKOUT / "train.py", *(CHECKOUT / "src").rglob("*.py"), *(CHECKOUT / "scripts").rglob("*.py")]


def calls(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}, node


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_no_call_runs_foreign_code(path):
    for name, keywords, node in calls(path):
        where = f"{path}:{node.lineno}"
        assert name not in ("eval", "exec", "os.system", "os.popen", "yaml.unsafe_load"), where
        if name == "yaml.load":
            (_, loader) = map(ast.unparse, node.args)
            assert loader not in ("yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader"), where
        assert not name.startswith(("pickle.", "joblib.", "dill.")), where
        assert keywords.get("shell", "False") == "False", where
        assert keywords.get("allow_pickle", "False") == "False", where
        if name == "torch.load":
            assert keywords.get("weights_only") == "True", where
        if name.endswith(("extractall", ".extract")):
            assert keywords.get("filter") == "'data'", where


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("evil",))


def test_checkpoint_with_code_in_it_is_not_run(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = run(toy)
    (folder,) = Path(toy["output_dir"]).rglob("checkpoints")
    for path in saved(folder).values():
        path.unlink()
    torch.save({"state_dict": Evil()}, tmp_path / "x")
    content = (tmp_path / "x").read_bytes()
    (folder / f"step-00000006-{hashlib.sha256(content).hexdigest()[:16]}.ckpt").write_bytes(content)
    (result,) = Path(toy["results_dir"]).rglob("*.json")
    result.unlink()
    with pytest.raises(UserError, match="could run foreign code"):
        run(toy)
    assert not (tmp_path / "evil").exists()
    assert record.status == "complete"


class Outside(Pointwise):
    """A mixer of another package; building it leaves a trace."""

    def __init__(self, features: int, **options) -> None:
        Path("evil").mkdir(exist_ok=True)
        super().__init__(features, outputs=4)


@pytest.fixture
def changed(toy, tmp_path, monkeypatch):
    """A function that writes a file of weights with a changed recipe, which names `outside.Outside` if it likes."""
    monkeypatch.chdir(tmp_path)
    outside = ModuleType("outside")
    outside.Outside = Outside
    monkeypatch.setitem(sys.modules, "outside", outside)
    spec = TaskSpec("toy", "tokens", 5, 12, 4, {"train": 96, "val": 32, "test": 48})
    nodes = {key: toy[key] for key in ("model", "kernel", "mixer")}
    state = {f"model.{key}": value for key, value in make_model(spec, **nodes).state_dict().items()}
    target = tmp_path / "toy.safetensors"
    weights.export(state, spec, nodes, target)
    assert lra.load(target).recipe["kernel"] == toy["kernel"]

    def write(change):
        with safe_open(target, framework="pt") as file:
            recipe = json.loads(file.metadata()["lra"])
        change(recipe)
        save_file(load_file(target), tmp_path / "changed.safetensors", {"lra": json.dumps(recipe)})
        return tmp_path / "changed.safetensors"

    return write


def name(node, target, **options):
    return lambda recipe: recipe.update({node: {"_target_": target, **options}})


TIMER = {"stmt": "pass", "setup": "import os; os.mkdir('evil')"}


@pytest.mark.parametrize(
    "change",
    [
        name("model", "timeit.Timer", **TIMER),
        name("kernel", "timeit.Timer", **TIMER),
        name("mixer", "subprocess.Popen", args=["mkdir", "evil"]),
        name("mixer", "outside.Outside"),
        name("mixer", "os.mkdir", path="evil"),
        name("kernel", "lra.data.storage.Store"),
        name("kernel", "lra.files.os.mkdir"),
        name("model", "lra.models.classifier.Classifier"),
        name("mixer", "lra.mixers.base.SequenceMixer"),
        name("mixer", "lra_other.mixers.Mixer"),
        name("kernel", "lra.kernels.s4d.S4D", init={"_target_": "timeit.Timer", **TIMER}),
        name("kernel", ["timeit.Timer"]),
        lambda recipe: recipe.update(kernel="timeit.Timer"),
        lambda recipe: recipe.update(model={}),
        lambda recipe: recipe.pop("model"),
        lambda recipe: recipe["kernel"].update(state_size=-1),
        lambda recipe: recipe["kernel"].update(nothing=1),
        lambda recipe: recipe["kernel"].update(state_size=16),
        lambda recipe: recipe["model"].pop("pooling"),
        lambda recipe: recipe["model"].pop("layers"),
        lambda recipe: recipe["spec"].update(outputs="many"),
        lambda recipe: recipe.pop("spec"),
    ],
    ids=itertools.count(),
)
def test_weights_run_no_code(changed, change):
    with pytest.raises(UserError):
        lra.load(changed(change))
    assert not Path("evil").exists()


def test_metadata_nested_too_deeply_are_a_sentence(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "deep.safetensors", {"lra": "[" * 100_000})
    with pytest.raises(UserError, match=r"deep\.safetensors was not written .*: nested too deeply"):
        lra.load(tmp_path / "deep.safetensors")


def test_weights_of_allowed_modules_are_loaded(changed):
    file = changed(lambda recipe: recipe.update(mixer={"_target_": "outside.Outside"}, kernel={}))
    with pytest.raises(UserError, match="allow it by name: 'outside'"):
        lra.load(file)
    with pytest.raises(UserError, match="another version of the model: missing"):  # but it was built
        lra.load(file, allow=["outside"])
    assert Path("evil").exists()


def test_records_run_no_code(toy, tmp_path):
    config = Config.parse(toy).identity() | {"task": {"_target_": "timeit.Timer", **TIMER}}
    file = str(store.write(make_record("custom/toy", config=config), tmp_path))
    with pytest.raises(UserError, match=r"timeit\.Timer is not part of this package"):
        find(file, folders(tmp_path))
    with pytest.raises(UserError, match="is no task"):
        find(file, folders(tmp_path), ["timeit"])


def test_checkpoint_of_another_run_is_not_loaded(toy):
    first = run(toy)
    toy["seed"] = 1
    second = run(toy)
    folders = {folder.parent.name: folder for folder in Path(toy["output_dir"]).rglob("checkpoints")}
    shutil.rmtree(folders[second.run_id])
    shutil.copytree(folders[first.run_id], folders[second.run_id])
    (result,) = (path for path in Path(toy["results_dir"]).rglob("*.json") if path.stem == second.run_id)
    result.unlink()
    with pytest.raises(UserError, match=f"is a checkpoint of run {first.run_id}, not of run {second.run_id}"):
        run(toy)


def test_records_name_nobody(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setattr("sys.orig_argv", ["/home/somebody/python", "train.py", f"data_dir={tmp_path}/data"])
    record = run(toy, overrides=[f"data_dir={tmp_path}/data", "task.path=/data/somebody/lra_release"])
    text = record.model_dump_json()
    assert record.identity.overrides == ["data_dir=~/data", "task.path=/data/<user>/lra_release"]
    assert record.code.command == "python train.py data_dir=~/data"
    for name in ("somebody", str(tmp_path), f"/{platform.node()}/"):
        assert name not in text


def test_anonymous_leaves_other_words_alone(monkeypatch):
    monkeypatch.setenv("LOGNAME", "legs")
    monkeypatch.setenv("HOME", "/home/legs")
    given = {"init": "legs", "path": ["/home/legs/data", "/home/legsx", f"{CHECKOUT}/data"], "n": 3}
    assert anonymous(given) == {"init": "legs", "path": ["~/data", "/home/legsx", "./data"], "n": 3}


def test_no_telemetry(monkeypatch):
    monkeypatch.setattr(os, "environ", {"HOME": os.environ["HOME"]})
    environment.configure()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
