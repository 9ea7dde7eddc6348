"""ListOps: nested list operations on digits, 500 to 2000 symbols, ten classes (card: data/README.md).

Tokens as in the S4 and DSS code: parentheses dropped, `]` read as `X`, `<eos>` at the end, 18 symbols with
`<pad>` and `<unk>`; padded on the right.
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lra.bounds import Count, Seed
from lra.data.characters import EOS, PAD, SPECIALS
from lra.data.datasets import TokenSequences
from lra.data.hashes import file_sha256
from lra.data.spec import TaskSpec
from lra.data.storage import Prepared, Writer
from lra.data.task import Progress, PublishedTask, silent
from lra.errors import UserError
from lra.files import replacing
from lra.options import checked
from lra.vocabulary import GeneratedSource, Variant

VOCABULARY = (*SPECIALS, *"0123456789", "[MIN", "[MAX", "[MED", "[SM", "X")
SPLITS = {"train": 96_000, "val": 2_000, "test": 2_000}
STANDIN = {"train": 400, "val": 100, "test": 100}
OFFICIAL_NAMES = {split: f"basic_{split}.tsv" for split in SPLITS}
Splits = dict[str, tuple[list[np.ndarray], np.ndarray]]  # tokens of each expression, values


class ListOps(PublishedTask):
    """Source generate makes the data at LRA's parameters; files and download read `listops-1000/`.

    Files: `basic_{train,val,test}.tsv` in the folder, or in `listops-1000/` at or below `lra_release/`.
    """

    version = 1
    default_source = "generate"
    needs = "no download; generated here in half a minute"

    @checked
    def __init__(
        self,
        *,
        generator_seed: Seed = 0,
        max_length: Count = 2048,
        source: GeneratedSource | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(source, path)
        self.generator_seed, self.max_length = generator_seed, max_length

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec("listops", "tokens", len(VOCABULARY), self.max_length, 10, SPLITS)

    def provenance(self, data_dir: Path) -> tuple[Variant, dict[str, Any]]:
        if self.source in ("files", "download"):
            folder = self._folder(data_dir)
            hashes = {name: file_sha256(folder / name) for name in OFFICIAL_NAMES.values()}
            return "official", {"max_length": self.max_length, "raw_sha256": hashes}
        from lra.data import listops_generator as generator

        parameters = {
            "max_length": self.max_length,
            "generator_version": generator.VERSION,
            "generator_seed": self.generator_seed,
            "splits": self._sizes,
            **asdict(generator.ListOpsParameters()),
        }
        return ("standin" if self.source == "standin" else "regenerated"), parameters

    def build(self, writer: Writer, progress: Progress) -> None:
        writer.facts["vocabulary"] = list(VOCABULARY)
        official = self.source in ("files", "download")
        splits = self._official(self._folder(writer.data_dir), progress) if official else self._generated(progress)
        for split, (expressions, values) in splits.items():
            ended = [np.append(e[: self.max_length - 1], np.uint8(EOS)) for e in expressions]
            writer.save(f"{split}_tokens", np.concatenate(ended))
            writer.save(f"{split}_offsets", np.cumsum([0, *map(len, ended)]))
            writer.save_classes(split, values, 10)

    def dataset(self, prepared: Prepared, split: str) -> TokenSequences:
        tokens, offsets, y = (prepared.array(f"{split}_{part}") for part in ("tokens", "offsets", "y"))
        return TokenSequences(tokens, offsets, y, pad=PAD)

    def write_official(self, prepared: Prepared, folder: Path, progress: Progress = silent) -> None:
        """Write `folder`/basic_{train,val,test}.tsv."""
        from lra.data.listops_generator import to_official

        for split, name in OFFICIAL_NAMES.items():
            tokens, offsets, y = (prepared.array(f"{split}_{part}") for part in ("tokens", "offsets", "y"))
            with (
                replacing(folder / name) as temporary,
                open(temporary, "w", newline="", encoding="ascii") as file,
            ):
                rows = csv.writer(file, delimiter="\t")
                rows.writerow(["Source", "Target"])
                for i in range(len(y)):
                    expression = tokens[offsets[i] : offsets[i + 1] - 1] - np.uint8(len(SPECIALS))
                    rows.writerow([to_official(expression), int(y[i])])
                    if (i + 1) % 1000 == 0:
                        progress(f"writing {name}", i + 1, len(y))

    @property
    def _sizes(self) -> dict[str, int]:
        return STANDIN if self.source == "standin" else SPLITS

    def _generated(self, progress: Progress) -> Splits:
        from lra.data import listops_generator as generator

        total = sum(self._sizes.values())
        expressions, values = generator.generate(
            total,
            self.generator_seed,
            threads=self.workers,
            progress=lambda done: progress("generating expressions", done, total),
        )
        splits, start = {}, 0
        for split, size in self._sizes.items():
            rows = slice(start, start + size)
            splits[split] = [tokens + np.uint8(len(SPECIALS)) for tokens in expressions[rows]], values[rows]
            start += size
        return splits

    def _official(self, folder: Path, progress: Progress) -> Splits:
        splits = {}
        for split, name in OFFICIAL_NAMES.items():
            splits[split] = read_tsv(folder / name, progress)
            if (found := len(splits[split][1])) != SPLITS[split]:
                raise UserError(
                    f"{folder / name} has {found} samples; the official file has {SPLITS[split]}. It seems to be "
                    "cut off or another data set: get the LRA archive again, or leave task.path out to "
                    "generate ListOps."
                )
        return splits

    def _folder(self, data_dir: Path) -> Path:
        otherwise = "generate ListOps: leave task.source and task.path out."
        return self.release_folder(data_dir, "listops-1000", list(OFFICIAL_NAMES.values()), otherwise)


def read_tsv(path: Path, progress: Progress = silent) -> tuple[list[np.ndarray], np.ndarray]:
    """Token arrays (uint8, without `<eos>`) and values (uint8) of a file in the official format.

    Lines may end in \\r\\n, as in the release, or \\n. Raises UserError naming the line of a wrong header, symbol
    or value.
    """
    index = {symbol: np.uint8(i) for i, symbol in enumerate(VOCABULARY)} | {"]": np.uint8(len(VOCABULARY) - 1)}
    size = path.stat().st_size
    expressions, values, done = [], [], 0
    with open(path, encoding="ascii", errors="replace") as file:
        if file.readline().split() != ["Source", "Target"]:
            raise UserError(f"{path}, line 1: expected the header 'Source<TAB>Target' of LRA's ListOps files.")
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
