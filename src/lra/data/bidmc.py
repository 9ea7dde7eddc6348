"""BIDMC: heart rate, respiratory rate or oxygen saturation from 32 s of PPG and ECG. Card: data/README.md.

A regression, RMSE. As in the S4 code: the archive's train and test part together, split anew 70/15/15, not
normalized.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lra.data import standin
from lra.data.datasets import FeatureSequences
from lra.data.hashes import file_counts, file_sha256, files_sha256
from lra.data.samples import numbers
from lra.data.sources import Remote, npz_arrays, raw_folder
from lra.data.spec import TaskSpec
from lra.data.splits import split_70_15_15
from lra.data.storage import Prepared, Writer
from lra.data.task import Progress, PublishedTask
from lra.errors import UserError
from lra.options import checked
from lra.vocabulary import RawSource, Variant

LENGTH, CHANNELS = 4000, 2
ZENODO = {"RR": 4001463, "HR": 4001456, "SpO2": 4001464}  # record numbers
PARTS = {"RR": (5471, 2399), "HR": (5550, 2399), "SpO2": (5550, 2399)}  # train, test (Tan et al. 2021)
STANDIN = {"HR": (80.0, 12.0), "RR": (17.0, 3.0), "SpO2": (97.0, 1.5)}  # mean, spread


class BIDMC(PublishedTask):
    """`target` HR, RR or SpO2 from (4000, 2) samples at 125 Hz.

    Files: the archive's `BIDMC32<target>_{TRAIN,TEST}.ts`, or an npz file with x (N, 4000, 2) and y (N,), which is
    not verified against the archive and so counts as modified.
    """

    version = 1
    needs = "a download of some hundred MB"

    @checked
    def __init__(
        self,
        *,
        target: Literal["HR", "RR", "SpO2"] = "HR",
        source: RawSource | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(source, path)
        self.target = target
        self.names = [f"BIDMC32{target}_{part}.ts" for part in ("TRAIN", "TEST")]

    @property
    def spec(self) -> TaskSpec:
        splits = {name: len(rows) for name, rows in split_70_15_15(sum(PARTS[self.target])).items()}
        return TaskSpec(f"bidmc-{self.target.lower()}", "features", CHANNELS, LENGTH, 1, splits, metric="rmse")

    def provenance(self, data_dir: Path) -> tuple[Variant, dict[str, Any]]:
        options = {"target": self.target}
        if self.source == "standin":
            return "standin", options
        raw = self.raw(data_dir)
        if raw.is_file():
            return "modified", options | {"raw_sha256": file_sha256(raw)}
        folder = self._folder(data_dir)
        files, cache = [folder / name for name in self.names], self.hashes(data_dir)
        found = file_counts(files, folder, cache, count_ts)
        whole = found == dict(zip(self.names, PARTS[self.target], strict=True))
        return ("official" if whole else "subset"), options | {"raw_sha256": files_sha256(files, folder, cache)}

    def build(self, writer: Writer, progress: Progress) -> None:
        x, y = self._samples(writer.data_dir, progress)
        if len(y) < 10:
            raise UserError(f"{self.raw(writer.data_dir)}: {len(y)} samples; expected at least 10.")
        for split, rows in split_70_15_15(len(y)).items():
            writer.save(f"{split}_x", x[rows])
            writer.save(f"{split}_y", y[rows])
            writer.counts[split] = len(rows)
            writer.facts[f"{split}_target"] = [float(y[rows].mean()), float(y[rows].std())]  # mean, deviation

    def dataset(self, prepared: Prepared, split: str) -> FeatureSequences:
        return FeatureSequences(prepared.array(f"{split}_x"), prepared.array(f"{split}_y"))

    def _samples(self, data_dir: Path, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        raw = self.raw(data_dir)
        if self.source == "standin":
            return standin.vital_signs(*STANDIN[self.target])
        if raw.is_file():
            return self._read_npz(raw)
        parts = [read_ts(self._folder(data_dir) / name, progress) for name in self.names]
        x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return x, y

    def _read_npz(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        with npz_arrays(path, ("x", "y")) as arrays:
            x, y = arrays["x"], arrays["y"]
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if x.shape != (*y.shape, LENGTH, CHANNELS) or y.ndim != 1:
            raise UserError(f"{path}: x is {x.shape} and y {y.shape}; expected (N, {LENGTH}, {CHANNELS}) and (N,).")
        return numbers(x, lambda row: f"{path}: x, row {row}"), numbers(y, lambda row: f"{path}: y, row {row}")

    def _folder(self, data_dir: Path) -> Path:
        """The folder with the .ts files; downloaded if that is the source and they are not there."""
        raw = self.raw(data_dir)
        candidates = [raw, raw / "bidmc", raw / self.target, raw / "bidmc" / self.target]
        candidates += [raw / f"BIDMC32{self.target}"]
        return raw_folder(
            " and ".join(self.names),
            candidates,
            self.names,
            self.hashes(data_dir),
            partial(self._download, raw / "bidmc") if self.source == "download" else None,
            f"They are at https://zenodo.org/record/{ZENODO[self.target]}; or give an npz file with x and y as "
            "task.path, or let them be downloaded with task.source=download.",
        )

    def _download(self, folder: Path) -> None:
        base = f"https://zenodo.org/record/{ZENODO[self.target]}/files"

        def call() -> None:
            import pooch

            for name in self.names:
                pooch.retrieve(f"{base}/{name}", known_hash=None, fname=name, path=folder, progressbar=True)

        Remote(
            what=f"BIDMC ({self.target})",
            url=f"{base}/{self.names[0]}",
            file=f"{' and '.join(self.names)} (no published hash)",
            place="bidmc",
            task=self.spec.name,
        ).fetch(folder.parent, call)


def count_ts(path: Path) -> int:
    """Number of samples of a .ts file."""
    with open(path, "rb") as file:
        started = any(line.strip().lower() == b"@data" for line in file)
        return sum(1 for line in file if line.strip()) if started else 0


def read_ts(path: Path, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """x (N, 4000, 2) float32 and y (N,) float32 of a .ts file: `v,v,…:v,v,…:target` lines after `@data`.

    Raises UserError naming the line that is not of this form.
    """
    size, done = path.stat().st_size, 0
    x, y, started = [], [], False
    with open(path, encoding="latin1") as file:
        for number, line in enumerate(file, start=1):
            done += len(line)
            if not started or not line.strip():
                started = started or line.strip().lower() == "@data"
                continue
            *channels, target = line.replace("?", "nan").split(":")
            try:
                sample = np.array([np.array(channel.split(","), np.float32) for channel in channels])
                if not np.isfinite(sample).all() or not math.isfinite(float(target)):
                    raise ValueError("a value is missing or infinite")
                if sample.shape != (CHANNELS, LENGTH):
                    raise ValueError(f"{len(channels)} series of {sample.shape[-1]} values")
                x.append(sample.T)
                y.append(float(target))
            except ValueError as error:
                raise UserError(
                    f"{path}, line {number}: {error}; expected {CHANNELS} series of {LENGTH} numbers and a target, "
                    "separated by colons."
                ) from None
            if len(y) % 100 == 0:
                progress(f"reading {path.name}", done, size)
    if not y:
        raise UserError(f"{path} has no samples after @data. It is empty or cut off: get it again.")
    return np.stack(x), np.array(y, np.float32)
