"""What a test logs beside its metric."""

import numpy as np
import pytest
import torch

from lra.records.schema import Score
from lra.training.module import StandardError


def test_standard_error_of_an_rmse_is_its_spread_over_test_sets():
    """Against the spread of the RMSE over many test sets drawn from one law of errors, gathered in two batches."""
    generator = torch.Generator().manual_seed(0)
    errors = torch.randn(2000, 400, generator=generator, dtype=torch.float64)
    spread = errors.square().mean(1).sqrt().std()
    found = StandardError()
    found.update(errors[0, :150])
    found.update(errors[0, 150:])
    assert found.compute().item() == pytest.approx(spread.item(), rel=0.15)
    squares = errors[0].square().numpy()
    assert found.compute().item() == pytest.approx(squares.std() / np.sqrt(400) / 2 / np.sqrt(squares.mean()))


def test_standard_error_of_a_perfect_prediction_is_zero():
    found = StandardError()
    found.update(torch.zeros(5))
    assert found.compute() == 0


def test_score_takes_the_logged_error_of_an_rmse():
    logged = {"test/rmse": 0.36, "test/n": 500.0, "test/standard_error": 0.01}
    assert Score.of("rmse", logged) == Score(value=0.36, n=500, standard_error=0.01)
