"""ListOps: nested list operations on digits, 500 to 2000 symbols, ten classes (card: data/README.md).

Tokens as in the S4 and DSS code: parentheses dropped, `]` read as `X`, `<eos>` at the end, 18 symbols with
`<pad>` and `<unk>`; padded on the right.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from lra.data.datasets import TokenSequences
from lra.data.spec import TaskSpec
from lra.data.storage import Prepared, Store, Writer, file_sha256
from lra.data.task import Progress, Task, silent
from lra.errors import UserError

VERSION = 1
SPECIALS = ("<pad>", "<unk>", "<eos>")
PAD, EOS = 0, 2
VOCABULARY = (*SPECIALS, *"0123456789", "[MIN", "[MAX", "[MED", "[SM", "X")
SPLITS = {"train": 96_000, "val": 2_000, "test": 2_000}
OFFICIAL_NAMES = {split: f"basic_{split}.tsv" for split in SPLITS}


class ListOps(Task):
    """Generated at LRA's parameters, or read from the official `listops-1000` files if `path` is given."""

    def __init__(self, *, path: str | None = None, generator_seed: int = 0, max_length: int = 2048) -> None:
        """`path`: folder of the official files (`basic_train.tsv` …) or one above it, such as `lra_release`."""
        self.path = None if path is None else _official_folder(Path(path).expanduser())
        self.generator_seed, self.max_length = generator_seed, max_length

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec("listops", "tokens", len(VOCABULARY), self.max_length, 10, SPLITS)

    def store(self, data_dir: Path) -> Store:
        if self.path is not None:
            hashes = {name: file_sha256(self.path / name) for name in OFFICIAL_NAMES.values()}
            parameters = {"max_length": self.max_length, "raw_sha256": hashes}
            return Store(data_dir, "listops", VERSION, "official", parameters)
        from lra.data.generators import listops

        parameters = {
            "max_length": self.max_length,
            "generator_version": listops.VERSION,
            "generator_seed": self.generator_seed,
            "splits": SPLITS,
            **listops.ListOpsParameters().asdict(),
        }
        return Store(data_dir, "listops", VERSION, "regenerated", parameters)

    def build(self, writer: Writer, progress: Progress) -> None:
        writer.facts["vocabulary"] = list(VOCABULARY)
        splits = self._generated(progress) if self.path is None else self._official(progress)
        for split, (expressions, values) in splits.items():
            ended = [np.append(e[: self.max_length - 1], np.uint8(EOS)) for e in expressions]
            offsets = np.zeros(len(ended) + 1, np.int64)
            np.cumsum([len(e) for e in ended], out=offsets[1:])
            writer.save(f"{split}_tokens", np.concatenate(ended))
            writer.save(f"{split}_offsets", offsets)
            writer.save(f"{split}_y", values)
            writer.counts[split] = len(ended)
            writer.facts[f"{split}_classes"] = np.bincount(values, minlength=10).tolist()

    def dataset(self, prepared: Prepared, split: str) -> TokenSequences:
        arrays = (prepared.array(f"{split}_{part}") for part in ("tokens", "offsets", "y"))
        return TokenSequences(*arrays, pad=PAD)

    def _generated(self, progress: Progress) -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
        from lra.data.generators import listops

        total = sum(SPLITS.values())
        made = listops.generate(
            total, self.generator_seed, progress=lambda done: progress("generating ListOps", done, total)
        )
        tokens = made.tokens + np.uint8(len(SPECIALS))
        splits, start = {}, 0
        for split, size in SPLITS.items():
            rows = range(start, start + size)
            parts = [tokens[made.offsets[i] : made.offsets[i + 1]] for i in rows]
            splits[split] = parts, made.values[start : start + size]
            start += size
        return splits

    def _official(self, progress: Progress) -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
        splits = {}
        for split, name in OFFICIAL_NAMES.items():
            splits[split] = read_tsv(self.path / name, progress)
            if (found := len(splits[split][1])) != SPLITS[split]:
                raise UserError(
                    f"{self.path / name} has {found} samples; the official file has {SPLITS[split]}. "
                    "It seems to be cut off or another data set: get the LRA archive again, or leave task.path "
                    "out to generate ListOps."
                )
        return splits


def read_tsv(path: Path, progress: Progress = silent) -> tuple[list[np.ndarray], np.ndarray]:
    """Token arrays (uint8, without `<eos>`) and values (uint8) of a file in the official format.

    Raises UserError naming the line of a wrong header, symbol or value.
    """
    index = {symbol: np.uint8(i) for i, symbol in enumerate(VOCABULARY)} | {
        "]": np.uint8(len(VOCABULARY) - 1)
    }
    size = path.stat().st_size
    expressions, values, done = [], [], 0
    with open(path, encoding="ascii", errors="replace") as file:
        if file.readline().split() != ["Source", "Target"]:
            raise UserError(
                f"{path}, line 1: expected the header 'Source<TAB>Target' of LRA's ListOps files."
            )
        for number, line in enumerate(file, start=2):
            source, _, target = line.rstrip("\r\n").partition("\t")
            symbols = source.replace("(", " ").replace(")", " ").split()
            try:
                expressions.append(np.array([index[s] for s in symbols], np.uint8))
            except KeyError as error:
                raise UserError(f"{path}, line {number}: unknown symbol {error}.") from None
            if not symbols or not (target.isdigit() and int(target) < 10):
                raise UserError(f"{path}, line {number}: expected an expression, a tab and a digit 0 to 9.")
            values.append(int(target))
            done += len(line)
            if number % 1000 == 0:
                progress(f"reading {path.name}", done, size)
    return expressions, np.array(values, np.uint8)


def write_tsv(prepared: Prepared, folder: Path, progress: Progress = silent) -> None:
    """Write prepared ListOps in the official format: `folder`/basic_{train,val,test}.tsv."""
    from lra.data.generators.listops import to_official

    folder.mkdir(parents=True, exist_ok=True)
    for split, name in OFFICIAL_NAMES.items():
        tokens, offsets, y = (prepared.array(f"{split}_{part}") for part in ("tokens", "offsets", "y"))
        partial = folder / f".{name}.partial"
        with open(partial, "w", newline="", encoding="ascii") as file:
            rows = csv.writer(file, delimiter="\t")
            rows.writerow(["Source", "Target"])
            for i in range(len(y)):
                expression = tokens[offsets[i] : offsets[i + 1] - 1] - np.uint8(len(SPECIALS))
                rows.writerow([to_official(expression), int(y[i])])
                if (i + 1) % 1000 == 0:
                    progress(f"writing {name}", i + 1, len(y))
        partial.replace(folder / name)


def _official_folder(path: Path) -> Path:
    """The folder at or below `path` that holds the official files."""
    candidates = [path, path / "listops-1000", path / "lra_release" / "listops-1000"]
    for folder in candidates:
        if all((folder / name).is_file() for name in OFFICIAL_NAMES.values()):
            return folder
    raise UserError(
        f"task.path={path}: {', '.join(OFFICIAL_NAMES.values())} not found in "
        f"{', '.join(str(c) for c in candidates)}. They are in listops-1000/ of the LRA archive "
        "(lra_release.gz); leave task.path out to generate ListOps instead."
    )
