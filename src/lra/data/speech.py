"""Speech Commands: which word is said, from one second of audio. Card: data/README.md.

SC35 has all words and the official lists; SC10 the ten words, clips of exactly 16,000 samples, 70/15/15.
Inputs are normalized time step by time step with the statistics of the training clips, (x − μ)/(σ + 1e-5).
The published code divides the wave by 2^15 although it lies in [−1, 1] already, so that σ ≈ 3e-6 is below
the 1e-5 and the result is far from unit variance: scaling `papers` does the same, `unit` divides once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lra.data import standin
from lra.data.audio import torchaudio
from lra.data.datasets import FeatureSequences
from lra.data.hashes import file_sha256, files_sha256
from lra.data.samples import sound, sound_length
from lra.data.sources import Remote, not_found, parquet_columns
from lra.data.spec import TaskSpec
from lra.data.splits import stratified_70_15_15
from lra.data.storage import Prepared, Writer
from lra.data.task import Progress, PublishedTask
from lra.errors import UserError, choose
from lra.files import is_litter
from lra.options import checked
from lra.vocabulary import RawSource, Variant

RATE, LENGTH, FULL_SCALE, EPSILON = 16_000, 16_000, 2**15, 1e-5
WORDS10 = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
WORDS35 = tuple(
    "backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no off "
    "on one right seven sheila six stop three tree two up visual wow yes zero".split()
)
SPLITS35 = {"train": 84_843, "val": 9_981, "test": 11_005}
SPLITS10 = {"train": 24_482, "val": 5_246, "test": 5_247}  # of 34,975
FOLDER, ARCHIVE = "SpeechCommands/speech_commands_v0.02", "speech_commands_v0.02.tar.gz"
URL = f"http://download.tensorflow.org/data/{ARCHIVE}"
SHA256 = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
SUBSETS = {"train": "training", "val": "validation", "test": "testing"}  # torchaudio's names
CHUNK = 500


class Clip(NamedTuple):
    split: str
    word: str
    encoded: bytes | Path
    where: str  # for people: the path of a file, or the row of a table


class SpeechCommands(PublishedTask):
    """Speech Commands with 35 or 10 `words`, as `features` raw (16,000 samples) or mfcc (161 × 20).

    Files: the official `SpeechCommands/speech_commands_v0.02/` or its archive in the raw folder; a parquet file
    with columns label, split (train, val, test) and flac (FLAC or WAV), which counts as modified.
    """

    version = 1
    needs = "a download of 2.4 GB"

    @checked
    def __init__(
        self,
        *,
        words: Literal[35, 10] = 35,
        features: Literal["raw", "mfcc"] = "raw",
        scaling: Literal["papers", "unit"] = "papers",
        source: RawSource | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(source, path)
        self.words = WORDS35 if words == 35 else WORDS10
        self.features, self.scaling = features, scaling

    @property
    def spec(self) -> TaskSpec:
        n = len(self.words)
        splits = SPLITS35 if n == 35 else SPLITS10
        if self.features == "mfcc":
            return TaskSpec(f"sc{n}-mfcc", "features", 20, 161, n, splits)
        return TaskSpec(f"sc{n}", "features", 1, LENGTH, n, splits)

    def provenance(self, data_dir: Path) -> tuple[Variant, dict[str, Any]]:
        raw = self.raw(data_dir)
        # The waves are stored as they are and scaled batch by batch, the coefficients are not linear in them.
        options = {"words": len(self.words)} | ({"scaling": self.scaling} if self.features == "mfcc" else {})
        if self.source == "standin":
            return "standin", options
        if self.source == "download":
            return "official", options | {"archive_sha256": SHA256}
        if raw.is_file():
            splits = parquet_columns(raw, ("split",))["split"]
            whole = {split: splits.count(split) for split in SPLITS35} == SPLITS35
            return ("modified" if whole else "standin"), options | {"raw_sha256": file_sha256(raw)}
        clips = _list_official(_root(raw), download=False)
        digest = files_sha256([Path(clip.where) for clip in clips], _root(raw), self.hashes(data_dir))
        return ("official" if _count(clips) == SPLITS35 else "subset"), options | {"raw_sha256": digest}

    def build(self, writer: Writer, progress: Progress) -> None:
        if self.source == "standin":
            for split, (clip_waves, y) in standin.clips(len(self.words)).items():
                self._write(writer, split, [clip_waves], y)
        else:
            clips = [clip for clip in self._clips(self.raw(writer.data_dir)) if clip.word in self.words]
            if len(self.words) == 10:
                clips = [c for c in clips if sound_length(c.encoded, RATE, c.where) == LENGTH]
            if not clips:
                raise UserError(f"{self.raw(writer.data_dir)} has no clips of the words {', '.join(self.words)}.")
            y = np.array([self.words.index(clip.word) for clip in clips])
            for split, rows in self._rows(clips, y).items():
                self._write(writer, split, self._waves([clips[row] for row in rows], split, progress), y[rows])
        if not writer.counts["train"]:
            raise UserError(f"{self.raw(writer.data_dir)} has no training clips of these words.")
        mean, std = _statistics(writer.reopen("train_x"), axis=0 if self.features == "raw" else (0, 1))
        writer.save("mean", mean)
        writer.save("std", std)

    def dataset(self, prepared: Prepared, split: str) -> FeatureSequences:
        mean, std = prepared.array("mean"), prepared.array("std")
        if self.features == "mfcc":
            scale, shift = 1 / (std + EPSILON), -mean / (std + EPSILON)
        else:
            full_scale = FULL_SCALE**2 if self.scaling == "papers" else FULL_SCALE
            spread = std / full_scale + EPSILON
            scale, shift = (1 / (full_scale * spread))[:, None], (-mean / full_scale / spread)[:, None]
        return FeatureSequences(prepared.array(f"{split}_x"), prepared.array(f"{split}_y"), scale, shift)

    def _rows(self, clips: Sequence[Clip], y: np.ndarray) -> dict[str, np.ndarray]:
        if len(self.words) == 10:
            return stratified_70_15_15(y)
        splits = np.array([clip.split for clip in clips])
        return {split: np.flatnonzero(splits == split) for split in SPLITS35}

    def _write(self, writer: Writer, split: str, waves: Iterable[np.ndarray], y: np.ndarray) -> None:
        """Write one split from its waves, (·, 16000) int16 at a time, and their classes."""
        shape, kind = ((LENGTH,), np.int16) if self.features == "raw" else ((161, 20), np.float32)
        array = writer.create(f"{split}_x", (len(y), *shape), kind)
        done = 0
        for chunk in waves:
            array[done : done + len(chunk)] = chunk if self.features == "raw" else self._mfcc(chunk)
            done += len(chunk)
        array.flush()
        writer.adopt(f"{split}_x")
        writer.save_classes(split, y, len(self.words))

    def _waves(self, clips: Sequence[Clip], split: str, progress: Progress) -> Iterator[np.ndarray]:
        with ThreadPoolExecutor(self.workers) as pool:
            for start in range(0, len(clips), CHUNK):
                chunk = clips[start : start + CHUNK]
                yield np.stack(list(pool.map(decode, chunk)))
                progress(f"decoding {split} clips", start + len(chunk), len(clips))

    def _mfcc(self, waves: np.ndarray) -> np.ndarray:
        """(B, 16000) int16 -> (B, 161, 20) float32: the coefficients of the S4 code, not yet normalized."""
        import torch

        full_scale = FULL_SCALE**2 if self.scaling == "papers" else FULL_SCALE
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "At least one mel filterbank", UserWarning)  # as published
            transform = torchaudio().transforms.MFCC(n_mfcc=20, log_mels=True, melkwargs={"n_fft": 200, "n_mels": 64})
        return transform(torch.from_numpy(waves).float() / full_scale).transpose(1, 2).numpy()

    def _clips(self, raw: Path) -> list[Clip]:
        """All clips in a fixed order: by word, then by file name."""
        if raw.is_file():
            table = parquet_columns(raw, ("split", "label", "flac"))
            rows = zip(table["split"], table["label"], table["flac"], strict=True)
            clips = [Clip(*row, f"{raw}, row {i}") for i, row in enumerate(rows)]
            for clip in clips:
                choose(f"{clip.where}: the label", clip.word, WORDS35)
                choose(f"{clip.where}: the split", clip.split, SPLITS35)
            return clips
        if self.source == "files" or (raw / FOLDER).is_dir():
            clips = _list_official(_root(raw), download=False)
        else:
            file = f"{ARCHIVE} (2.4 GB, sha256 {SHA256})"
            remote = Remote("Speech Commands v0.02", URL, file, ARCHIVE, f"sc{len(self.words)}")
            clips = remote.fetch(raw, lambda: _list_official(raw, download=True))
        if self.source == "download" and (found := _count(clips)) != SPLITS35:
            raise UserError(
                f"{raw / FOLDER} has {found} clips, the official set {SPLITS35}: it is not completely unpacked. "
                f"Delete the folder and run the command again (or use task.source=files for a subset)."
            )
        return clips


def decode(clip: Clip) -> np.ndarray:
    """A clip as (16000,) int16, padded with zeros on the right. Raises UserError as `sound` does, and if too long."""
    wave = sound(clip.encoded, RATE, clip.where)
    if len(wave) > LENGTH:
        raise UserError(f"{clip.where} has {len(wave)} samples; expected at most {LENGTH}.")
    return np.pad(wave, (0, LENGTH - len(wave)))


def _statistics(x: np.ndarray, axis: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and unbiased standard deviation over `axis`, float64, in pieces that fit in memory."""
    total = square = np.zeros(())
    for start in range(0, len(x), CHUNK):
        chunk = x[start : start + CHUNK].astype(np.float64)
        total, square = total + chunk.sum(axis), square + (chunk**2).sum(axis)
    n = len(x) if axis == 0 else len(x) * x.shape[1]
    mean = total / n
    return mean, np.sqrt(np.maximum(square - n * mean**2, 0) / max(n - 1, 1))


def _root(raw: Path) -> Path:
    """The folder that holds the official folder or archive, for any folder of the layout."""
    for root in (raw, raw.parent, raw.parent.parent):
        if (root / FOLDER).is_dir() or (root / ARCHIVE).is_file():
            return root
    raise not_found(
        "Speech Commands",
        [raw / FOLDER, raw / ARCHIVE],
        f"Put {ARCHIVE} (2.4 GB, sha256 {SHA256}) there, give a parquet file as task.path, or let it be "
        "downloaded with task.source=download.",
    )


def _list_official(root: Path, download: bool) -> list[Clip]:
    """Clips of the official folder, split by its lists, as torchaudio reads them; those that are there."""
    folder, archive = root / FOLDER, root / ARCHIVE
    if not folder.is_dir():
        download = True  # torchaudio fetches the archive, if need be, and unpacks it
        if archive.is_file() and (found := file_sha256(archive)) != SHA256:
            raise UserError(f"{archive} has sha256 {found}; the official one has {SHA256}. Get it again.")
    clips = []
    try:
        for split, name in SUBSETS.items():
            part = torchaudio().datasets.SPEECHCOMMANDS(root, subset=name, download=download)
            for i in range(len(part)):
                relative, _, word, _, _ = part.get_metadata(i)
                path = root / "SpeechCommands" / relative
                if word in WORDS35 and not is_litter(Path(relative)) and path.is_file():
                    clips.append(Clip(split, word, path, str(path)))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} is not the official folder: {error}. Expected validation_list.txt, testing_list.txt "
            f"and a folder a word; delete it and unpack {ARCHIVE} (sha256 {SHA256}) again."
        ) from None
    return sorted(set(clips), key=lambda clip: (clip.word, Path(clip.where).name))


def _count(clips: Sequence[Clip]) -> dict[str, int]:
    splits = [clip.split for clip in clips]
    return {split: splits.count(split) for split in SPLITS35}
