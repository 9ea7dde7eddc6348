"""Speech Commands: the published normalization step by step, official lists, MFCC, 8 kHz, broken audio."""

import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from lra.data import sources, speech
from lra.data.datasets import Strided
from lra.data.speech import Clip, SpeechCommands, decode
from lra.errors import UserError

LENGTHS = (16_000, 16_000, 16_000, 12_345)


def wave(i: int, length: int = 16_000) -> np.ndarray:
    return np.random.default_rng(i).normal(0, 2000, length).astype(np.int16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The official layout: three words, a list of validation files and one of test files."""
    root = tmp_path / "raw" / "SpeechCommands" / "speech_commands_v0.02"
    lists: dict[str, list[str]] = {"training": [], "validation": [], "testing": []}
    for w, word in enumerate(("yes", "bed", "stop")):
        (root / word).mkdir(parents=True)
        for i in range(16):
            name = f"{word}/{i:08x}_nohash_0.wav"
            soundfile.write(root / name, wave(100 * w + i, LENGTHS[i % 4]), 16_000, subtype="PCM_16")
            lists[("training", "training", "validation", "testing")[i % 4 if i < 12 else 0]].append(name)
    (root / "_background_noise_").mkdir()
    soundfile.write(root / "_background_noise_" / "pink.wav", wave(0, 20_000), 16_000)
    for name in ("validation", "testing"):
        (root / f"{name}_list.txt").write_text("\n".join(lists[name]) + "\n")
    return root


def published(root: Path, names: dict[str, list[str]], full_scale: float) -> dict[str, torch.Tensor]:
    """Clips (N, 16000) normalized as the S4 code does it, in float64: one time step after the other."""
    clips = {}
    for split, files in names.items():
        rows = []
        for name in files:
            audio = torch.tensor(soundfile.read(root / name)[0])  # in [−1, 1], as torchaudio gives it
            rows.append(torch.nn.functional.pad(audio / full_scale, (0, 16_000 - len(audio))))
        clips[split] = torch.stack(rows)
    for i in range(16_000):
        mean, std = clips["train"][:, i].mean(), clips["train"][:, i].std()
        for split in ("val", "test", "train"):
            clips[split][:, i] = (clips[split][:, i] - mean) / (std + 1e-5)
    return clips


def listed(root: Path) -> dict[str, list[str]]:
    val, test = ((root / f"{n}_list.txt").read_text().split() for n in ("validation", "testing"))
    every = sorted(str(p.relative_to(root)) for p in root.glob("*/*_nohash_*.wav"))
    return {"train": [n for n in every if n not in val + test], "val": sorted(val), "test": sorted(test)}


@pytest.mark.parametrize(("scaling", "full_scale"), [("papers", 2.0**15), ("unit", 1.0)])
def test_inputs_are_those_of_the_published_code(folder: Path, tmp_path: Path, scaling: str, full_scale: float) -> None:
    task = SpeechCommands(scaling=scaling, path=str(tmp_path / "raw"))
    prepared = task.prepare(tmp_path / "data")
    assert prepared.meta.variant == "subset"
    names = listed(folder)
    expected = published(folder, names, full_scale)
    for split, files in names.items():
        data = task.dataset(prepared, split)
        batch = data[np.arange(len(data))]
        torch.testing.assert_close(batch.x[:, :, 0].double(), expected[split], atol=1e-5, rtol=1e-4)
        assert [task.words[y] for y in batch.y] == [name.split("/")[0] for name in files]
        assert batch.lengths.tolist() == [16_000] * len(files)  # the padding is not masked
    spread = expected["train"].std().item()
    assert (spread < 0.9) if scaling == "papers" else (0.9 < spread < 1.1)


def test_both_scalings_share_the_prepared_waves(folder: Path, tmp_path: Path) -> None:
    a, b = (SpeechCommands(scaling=s, path=str(tmp_path / "raw")).prepare(tmp_path / "d") for s in ("papers", "unit"))
    assert a.folder == b.folder


def test_eight_kilohertz_is_every_second_sample(folder: Path, tmp_path: Path) -> None:
    task = SpeechCommands(path=str(tmp_path / "raw"))
    data = task.dataset(task.prepare(tmp_path / "data"), "test")
    rows = np.arange(len(data))
    half = Strided(data, 2)[rows]
    assert half.x.shape[1] == 8_000
    assert torch.equal(half.x, data[rows].x[:, ::2])


def test_sc10_takes_whole_clips_of_the_ten_words(folder: Path, tmp_path: Path) -> None:
    task = SpeechCommands(words=10, path=str(tmp_path / "raw"))
    prepared = task.prepare(tmp_path / "data")
    assert sum(prepared.meta.counts.values()) == 24  # 12 of 16 clips are whole, of yes and stop
    assert prepared.meta.counts == {"train": 16, "val": 4, "test": 4}
    assert set(np.concatenate([task.dataset(prepared, s).y for s in ("train", "val", "test")])) == {0, 8}


@pytest.mark.parametrize(("scaling", "full_scale"), [("papers", 2.0**15), ("unit", 1.0)])
def test_mfcc_are_those_of_the_published_code(folder: Path, tmp_path: Path, scaling: str, full_scale: float) -> None:
    from torchaudio.transforms import MFCC

    task = SpeechCommands(words=10, features="mfcc", scaling=scaling, path=str(tmp_path / "raw"))
    prepared = task.prepare(tmp_path / "data")
    waves = SpeechCommands(words=10, path=str(tmp_path / "raw")).prepare(tmp_path / "data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transform = MFCC(log_mels=True, n_mfcc=20, melkwargs={"n_fft": 200, "n_mels": 64})
    x = {s: torch.tensor(waves.array(f"{s}_x")).float() / 2**15 / full_scale for s in ("train", "val", "test")}
    x = {split: transform(audio).transpose(1, 2) for split, audio in x.items()}
    assert x["train"].shape[1:] == (task.spec.max_length, task.spec.inputs) == (161, 20)
    mean = x["train"].mean((0, 1), dtype=torch.float64)
    std = x["train"].double().flatten(0, 1).std(0)
    for split, audio in x.items():
        batch = task.dataset(prepared, split)[np.arange(len(audio))]
        expected = (audio.double() - mean) / (std + 1e-5)
        torch.testing.assert_close(batch.x.double(), expected, atol=2e-2, rtol=1e-3)


def flac(samples: np.ndarray, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC")
    return file.getvalue()


def parquet(path: Path, clips: list[bytes], **change: list) -> Path:
    n = len(clips)
    columns = {"split": (["train"] * 3 + ["val", "test"]) * (n // 5), "label": ["cat"] * n, "flac": clips}
    pq.write_table(pa.table(columns | change), path)
    return path


def test_parquet(tmp_path: Path) -> None:
    waves = [wave(i, 15_000 + 100 * i) for i in range(10)]
    task = SpeechCommands(path=str(parquet(tmp_path / "x.parquet", [flac(w) for w in waves])))
    prepared = task.prepare(tmp_path / "data")
    assert prepared.meta.variant == "standin"
    assert prepared.meta.counts == {"train": 6, "val": 2, "test": 2}
    for row, w in zip(prepared.array("val_x"), (waves[3], waves[8]), strict=True):
        assert np.array_equal(row, np.pad(w, (0, 16_000 - len(w))))


def test_wrong_clips_leave_nothing(tmp_path: Path) -> None:
    good = [flac(wave(i)) for i in range(5)]

    def error(clips: list[bytes], **change: list) -> str:
        with pytest.raises(UserError) as caught:
            SpeechCommands(path=str(parquet(tmp_path / "x.parquet", clips, **change))).prepare(tmp_path / "data")
        assert not list((tmp_path / "data").rglob("*.npy"))
        return str(caught.value)

    assert "row 4 has 16000 samples at 8000 Hz in 1 channels; expected one channel at 16000 Hz" in error(
        [*good[:4], flac(wave(0), rate=8000)]
    )
    assert "in 2 channels" in error([*good[:4], flac(np.stack([wave(0), wave(1)], 1))])
    assert "16001 samples" in error([*good[:4], flac(wave(0, 16_001))])
    assert "cannot be read as audio" in error([*good[:4], b"noise"])
    assert "row 4: None in place of the bytes" in error([*good[:4], None])
    assert "row 4 is cut off: 23044 bytes" in error([*good[:4], wav(wave(0), "PCM_16")[:9000]])
    assert "row 0: the label is 'kat'" in error(good, label=["kat"] * 5)
    assert "row 4: the label is None" in error(good, label=["cat"] * 4 + [None])
    assert "row 0: the split is 'dev'" in error(good, split=["dev"] * 5)
    assert "no val" in error(good, split=["train"] * 4 + ["test"])


@pytest.mark.parametrize("code", ["FLOAT", "DOUBLE", "PCM_16", "PCM_24", "PCM_32"])
def test_every_code_of_a_wav_is_the_same_sound(tmp_path: Path, code: str) -> None:
    sounds = [wave(i) for i in range(5)]
    path = parquet(tmp_path / "x.parquet", [wav(sound, code) for sound in sounds])
    prepared = SpeechCommands(path=str(path)).prepare(tmp_path / "data")
    assert np.abs(prepared.array("test_x")[0].astype(int) - sounds[4]).max() <= 1


def wav(samples: np.ndarray, code: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples / 2**15, 16_000, format="WAV", subtype=code)
    return file.getvalue()


def test_a_whole_mirror_is_modified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "SPLITS35", {"train": 3, "val": 1, "test": 1})
    path = parquet(tmp_path / "x.parquet", [flac(wave(i)) for i in range(5)])
    assert SpeechCommands(path=str(path)).prepare(tmp_path / "data").meta.variant == "modified"


def test_litter_and_missing_files_leave_a_subset(folder: Path, tmp_path: Path) -> None:
    whole = SpeechCommands(path=str(tmp_path / "raw")).prepare(tmp_path / "data").meta.counts
    for path in list(folder.glob("yes/*.wav")):
        path.with_name(f"._{path.name}").write_bytes(b"litter")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "0_nohash_0.wav").write_bytes(b"litter")
    for path in folder.glob("bed/*.wav"):
        path.unlink()
    prepared = SpeechCommands(path=str(tmp_path / "raw")).prepare(tmp_path / "data")
    assert prepared.meta.variant == "subset"
    assert sum(prepared.meta.counts.values()) == sum(whole.values()) - 16


def test_an_archive_that_is_not_the_official_one_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / speech.ARCHIVE).write_bytes(b"anything")
    with pytest.raises(UserError, match=r"has sha256 .*; the official one has af14739"):
        SpeechCommands(path=str(tmp_path)).prepare(tmp_path / "data")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"RIFF")
    with pytest.raises(UserError, match=f"{path} cannot be read as audio"):
        decode(Clip("train", "yes", path, str(path)))


def test_missing_lists_are_said(folder: Path, tmp_path: Path) -> None:
    (folder / "testing_list.txt").unlink()
    with pytest.raises(UserError, match="is not the official folder"):
        SpeechCommands(path=str(tmp_path / "raw")).prepare(tmp_path / "data")


def test_a_folder_unpacked_in_part_is_not_taken_for_the_download(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").rename(tmp_path / "data_raw")
    (tmp_path / "data").mkdir()
    (tmp_path / "data_raw").rename(tmp_path / "data" / "raw")
    with pytest.raises(UserError, match="not completely unpacked"):
        SpeechCommands(source="download").prepare(tmp_path / "data")


def test_download_is_torchaudios(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchaudio fetches and unpacks when it is told to; the rest is what it finds."""
    import torchaudio.datasets.speechcommands as library

    raw = tmp_path / "data" / "raw"
    fetched = []

    def unpack(archive: str, target: str) -> None:
        fetched.append((archive, target))
        Path(target).parent.mkdir(parents=True)
        folder.rename(target)

    monkeypatch.setattr(library, "download_url_to_file", lambda url, path, hash_prefix: fetched.append(hash_prefix))
    monkeypatch.setattr(library, "_extract_tar", unpack)
    monkeypatch.setattr(sources.urllib.request, "urlopen", lambda *a, **k: io.BytesIO())
    monkeypatch.setattr(speech, "SPLITS35", {s: len(n) for s, n in listed(folder).items()})
    prepared = SpeechCommands().prepare(tmp_path / "data")
    assert prepared.meta.variant == "official"
    assert fetched[0] == speech.SHA256
    assert fetched[1] == (str(raw / speech.ARCHIVE), str(raw / speech.FOLDER))


def test_published_facts() -> None:
    assert len(speech.WORDS35) == len(set(speech.WORDS35)) == 35
    assert set(speech.WORDS10) < set(speech.WORDS35)
    assert sum(speech.SPLITS10.values()) == 34_975


def test_torchaudio_is_imported_beside_another_cuda() -> None:
    """Its last release refuses a PyTorch built for another CUDA than its own."""
    code = (
        "import torch; torch.version.cuda = '99.0'\n"
        "from lra.data.audio import torchaudio\n"
        "torchaudio().transforms.MFCC, torchaudio().datasets.SPEECHCOMMANDS\n"
        "assert torch.version.cuda == '99.0'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
