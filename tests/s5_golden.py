"""The published names of S5's and LRU's parameters, and how their arrays fill our modules."""

import torch
from torch import Tensor, nn
from vectors import Golden

from lra.mixers.linear import LinearRecurrence
from lra.models.block import ResidualBlock

NORM = {"scale": "weight", "bias": "bias"}


def seq_arrays(mixer: LinearRecurrence, part: Golden) -> dict[str, tuple[Tensor, Tensor]]:
    """The parameters of a mixer alone and the published arrays, by our names."""
    if "nu_log" in part:
        pairs = {k: torch.stack([part[f"{k}_re"], part[f"{k}_im"]], -1) for k in "BC"}
        found = {k: part[k] for k in ("nu_log", "theta_log", "gamma_log", "D")} | pairs
        found["C"] = found["C"].unsqueeze(0)
    else:
        if "C1" in part:
            C = torch.stack([part["C1"], part["C2"]])
        else:  # one array for both directions, the states of the first one first
            C = torch.stack(part["C"].split(len(part["Lambda_re"]), dim=1))
        found = {"Lambda_real": part["Lambda_re"], "Lambda_imag": part["Lambda_im"], "C": C}
        found |= {"B": part["B"], "D": part["D"], "log_dt": part["log_step"].squeeze(1)}
    return {name: (getattr(mixer, name), value) for name, value in found.items()}


def arrays(model: nn.Module, case: Golden, prefix: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Our parameters and the published arrays with this prefix, by the published names."""
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    blocks = [(model, "")] if isinstance(model, ResidualBlock) else _blocks(model)
    for block, name in blocks:
        part = case.case(f"{prefix}{name}")
        pairs |= {f"{name}seq.{k}": v for k, v in seq_arrays(block.mixer, part.case("seq.")).items()}
        norm = "norm" if "norm.bias" in part else "normalization"
        pairs |= {f"{name}{norm}.{k}": (getattr(block.norm, v), part[f"{norm}.{k}"]) for k, v in NORM.items()}
        outs = [out for out in ("out1", "out2") if f"{out}.bias" in part]
        weight = torch.cat([part[f"{out}.kernel"].T for out in outs])
        pairs[f"{name}out.kernel"] = (block.mixing.linear.weight, weight)
        pairs[f"{name}out.bias"] = (block.mixing.linear.bias, torch.cat([part[f"{o}.bias"] for o in outs]))
    if not isinstance(model, ResidualBlock):
        encoder = case.case(f"{prefix}encoder.encoder.")
        table = encoder["kernel"] if isinstance(model.encoder, nn.Embedding) else encoder["kernel"].T
        pairs["encoder.kernel"] = (model.encoder.weight, table)
        pairs["encoder.bias"] = (model.encoder.bias, encoder["bias"])
        single = isinstance(model.head, nn.Linear)
        heads = {"": model.head} if single else {"layer1.": model.head[0], "layer2.": model.head[2]}
        for name, head in heads.items():
            part = case.case(f"{prefix}decoder.{name}")
            pairs[f"head.{name}kernel"] = (head.weight, part["kernel"].T)
            pairs[f"head.{name}bias"] = (head.bias, part["bias"])
    return pairs


def fill(model: nn.Module, case: Golden, prefix: str = "param.") -> None:
    """Give the model the published parameters, and the running statistics before."""
    with torch.no_grad():
        for ours, theirs in arrays(model, case, prefix).values():
            ours.copy_(theirs)
        for block, name in [(model, "")] if isinstance(model, ResidualBlock) else _blocks(model):
            for key, value in case.case(f"batch_stats_before.{name}").items():
                getattr(block.norm, f"running_{key.split('.')[-1]}").copy_(value)


def _blocks(model: nn.Module) -> list[tuple[nn.Module, str]]:
    return [(block, f"encoder.layers_{i}.") for i, block in enumerate(model.backbone.blocks)]
