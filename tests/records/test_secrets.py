"""Secrets stay out of records, in whatever form they were typed."""

import pytest

from lra.records.capture import anonymous
from lra.records.secrets import masked, masked_command


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("logger.api_key=abc", "logger.api_key=***"),
        ("+env.WANDB_API_KEY=abc", "+env.WANDB_API_KEY=***"),
        ("logger.password=two words, and more", "logger.password=***"),
        ("task.hf_token='a b'", "task.hf_token=***"),
        ("++client_secret=x=y", "++client_secret=***"),
        ("logger={api_key:abc,project:lra}", "logger={api_key:***,project:lra}"),
        ("task.path=https://me:pw@host/x", "task.path=https://***@host/x"),
        ("task.path=https://host/x?token=abc&n=2", "task.path=https://host/x?token=***&n=2"),
        ("kernel.init=legs", "kernel.init=legs"),
        ("model.tokenizer=bytes", "model.tokenizer=bytes"),
        ("KeyError: 'x'", "KeyError: 'x'"),
    ],
)
def test_masked(typed, shown):
    assert masked(typed) == shown
    assert anonymous([typed]) == [shown]


def test_mappings_and_commands():
    assert anonymous({"task.api_key": "abc", "n": 1, "token": None}) == {
        "task.api_key": "***",
        "n": 1,
        "token": None,
    }
    command = ["python", "train.py", "--token", "abc", "logger.api_key=d e f", "seed=1"]
    assert masked_command(command) == "python train.py --token *** logger.api_key=*** seed=1"


def test_control_characters_are_written_out():
    assert anonymous("a\x1b[31mb\udcff") == "a\\x1b[31mb\\udcff"
