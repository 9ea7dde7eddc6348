"""What comes from elsewhere is data and never code, and what is written names nobody."""

import ast
import hashlib
import os
import platform
import shutil
from pathlib import Path

import pytest
import torch

from lra import environment
from lra.errors import UserError
from lra.paths import CHECKOUT
from lra.records.capture import anonymous
from lra.training.checkpoint import saved
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
    environment.settle()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
