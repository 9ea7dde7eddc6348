"""torchaudio, imported only where sound is read from its data set or made into coefficients."""

from __future__ import annotations

from types import ModuleType

from lra.errors import UserError


def torchaudio() -> ModuleType:
    """The library. Raises UserError if it does not fit PyTorch.

    Its last release (2.11) refuses a PyTorch built for another CUDA than its own, for the sake of kernels that are
    not used here; without a CUDA version to compare it does not.
    """
    import torch

    built = torch.version.cuda
    torch.version.cuda = None
    try:
        import torchaudio
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(
            f"torchaudio cannot be imported beside PyTorch {torch.__version__}: {error}\nInstall torch, torchvision "
            "and torchaudio from the same package index."
        ) from error
    finally:
        torch.version.cuda = built
    return torchaudio
