"""Samples of every kind are converted exactly, or refused with their place."""

import io
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from lra.data.samples import labels, numbers, picture, sound, sound_length, text
from lra.errors import UserError

WAVE = np.random.default_rng(0).integers(-20_000, 20_000, 500).astype(np.int16)
GREY = np.random.default_rng(1).integers(0, 256, (32, 32), dtype=np.uint8)
RGB = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def encoded(samples: np.ndarray, kind: str, code: str, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format=kind, subtype=code, **options)
    return file.getvalue()


def png(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return file.getvalue()


def flipped(content: bytes, count: int = 60) -> list[bytes]:
    """Copies with one bit changed, somewhere."""
    rng = np.random.default_rng(3)
    copies = []
    for _ in range(count):
        copy = bytearray(content)
        copy[rng.integers(len(copy))] ^= 1 << rng.integers(8)
        copies.append(bytes(copy))
    return copies


def refused(call: Callable[[], Any], *said: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    assert "here" in str(caught.value)
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        *((kind, code, 1) for kind in ("WAV", "WAVEX") for code in ("PCM_16", "PCM_24", "PCM_32")),
        *((kind, code, 1) for kind in ("WAV", "WAVEX") for code in ("FLOAT", "DOUBLE")),
        ("WAV", "PCM_U8", 256),
        ("WAV", "ULAW", 1000),
        ("WAV", "ALAW", 1000),
        ("FLAC", "PCM_16", 0),
        ("FLAC", "PCM_24", 1),
        ("FLAC", "PCM_S8", 256),
    ],
)
def test_sound_in_every_code_is_the_same(kind: str, code: str, error: int) -> None:
    samples = WAVE if kind == "FLAC" and code == "PCM_16" else WAVE / 2**15
    content = encoded(samples, kind, code)
    found = sound(content, 16_000, "here")
    assert found.dtype == np.int16
    assert np.abs(found.astype(int) - WAVE).max() <= error
    assert sound_length(content, 16_000, "here") == len(WAVE)


@pytest.mark.parametrize(("kind", "order"), [("WAV", "LITTLE"), ("WAV", "BIG"), ("FLAC", "FILE")])
def test_sound_that_is_cut_off_is_refused(kind: str, order: str) -> None:
    content = encoded(WAVE, kind, "PCM_16", endian=order)
    assert np.array_equal(sound(content, 16_000, "here"), WAVE)
    for share in (0.0, 0.02, 0.3, 0.9, 0.999):
        refused(lambda share=share: sound(content[: int(share * len(content))], 16_000, "here"))


def test_a_damaged_flac_is_never_other_sound() -> None:
    for copy in flipped(encoded(WAVE, "FLAC", "PCM_16")):
        try:
            assert np.array_equal(sound(copy, 16_000, "here"), WAVE)
        except UserError:
            continue


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (encoded(WAVE.astype(np.float32), "WAV", "FLOAT"), "floating point sound lies in [−1, 1]"),
        (encoded(np.where(WAVE[3] == WAVE, np.nan, 0.1), "WAV", "DOUBLE"), "nan"),
        (encoded(WAVE[:0], "WAV", "PCM_16"), "0 samples"),
        (encoded(np.stack([WAVE, WAVE], 1), "WAV", "PCM_16"), "2 channels"),
        (encoded(WAVE, "WAV", "IMA_ADPCM"), "expected WAV or FLAC"),
        (encoded(WAVE, "AIFF", "PCM_16"), "expected WAV or FLAC"),
        (b"", "cannot be read as audio"),
        (None, "None in place of the bytes"),
        ("a text", "in place of the bytes"),
    ],
    ids=itertools.count(),
)
def test_other_sound_is_refused(content: Any, said: str) -> None:
    refused(lambda: sound(content, 16_000, "here"), said)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    refused(lambda: sound(tmp_path / "here.wav", 16_000, str(tmp_path / "here.wav")), "No such file")


@pytest.mark.parametrize(
    "content",
    [
        png(GREY),
        png(GREY.astype(np.uint16) * 257),
        png(Image.fromarray(GREY).convert("RGB")),
        png(Image.fromarray(GREY).convert("RGBA")),
        png(Image.fromarray(GREY).convert("LA")),
        png(Image.fromarray(GREY).convert("P")),
    ],
    ids=["8 bit", "16 bit", "RGB", "RGBA", "LA", "palette"],
)
def test_a_grey_picture_in_every_form_is_the_same(content: bytes) -> None:
    found = picture(content, 32, color=False, where="here")
    assert found.dtype == np.uint8
    assert np.array_equal(found, GREY)
    assert np.array_equal(picture(content, 32, color=True, where="here"), np.stack([GREY] * 3, 2))


def test_fewer_bits_are_scaled_to_white() -> None:
    mask = Image.fromarray(GREY > 127)
    assert np.array_equal(picture(png(mask), 32, color=False, where="here"), 255 * np.asarray(mask))
    palette = Image.fromarray(RGB).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    assert np.array_equal(picture(png(palette, bits=4), 32, color=True, where="here"), expected)
    assert np.array_equal(picture(png(RGB), 32, color=True, where="here"), RGB)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png(GREY.astype(np.uint16)), "65535 would be white"),
        (png(Image.new("RGBA", (32, 32), (9, 9, 9, 40))), "transparent"),
        (png(Image.fromarray(GREY).convert("CMYK"), "JPEG"), "mode CMYK"),
        (png(GREY, save_all=True, append_images=[Image.new("L", (32, 32))]), "2 frames"),
        (png(GREY[:31]), "32 × 31 pixels"),
        (png(GREY)[:300], "cannot be read as an image"),
        (png(RGB, "JPEG")[:600], "cannot be read as an image"),
        (b"", "(0 bytes) cannot be read as an image"),
        (None, "None in place of the bytes"),
        ({"bytes": b""}, "in place of the bytes"),
    ],
    ids=itertools.count(),
)
def test_other_pictures_are_refused(content: Any, said: str) -> None:
    refused(lambda: picture(content, 32, color=True, where="here"), said)


def test_colors_are_not_made_grey() -> None:
    refused(lambda: picture(png(RGB), 32, color=False, where="here"), "expected a grey picture")


def test_a_damaged_png_is_never_another_picture() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for copy in flipped(png(GREY)):
            try:
                assert np.array_equal(picture(copy, 32, color=False, where="here"), GREY)
            except UserError:
                continue


@pytest.mark.parametrize(
    "values",
    [[3, 0], [3.0, 0.0], [[3], [0]], np.array([[3], [0]], np.float32), np.array([3, 0], object)],
    ids=itertools.count(),
)
def test_labels_of_any_type_are_classes(values: Any) -> None:
    found = labels(values, 4, lambda row: f"here, row {row}")
    assert found.dtype == np.int64
    assert found.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 1.5], "row 1: label 1.5"),
        ([0, None], "row 1: label None"),
        ([0, float("nan")], "row 1: label nan"),
        (["0", "1"], "row 0: label '0'"),
        ([0, 4], "row 1: label 4"),
        ([0, -1], "row 1: label -1"),
        ([[0, 1]], "shape (1, 2)"),
        ([[0], [1, 2]], "shape"),
        ([], "shape (0,)"),
        (np.array([2**63], np.uint64), "row 0: label 9223372036854775808"),
    ],
    ids=itertools.count(),
)
def test_other_labels_are_refused(values: Any, said: str) -> None:
    refused(lambda: labels(values, 4, lambda row: f"here, row {row}"), said)


def test_numbers_are_finite_float32() -> None:
    assert numbers(np.array([1, 2]), str).tolist() == [1, 2]
    for wrong in (np.array([0.0, np.nan]), np.array([0, 1e300]), np.array([[0, 0], [0, -np.inf]])):
        refused(lambda wrong=wrong: numbers(wrong, lambda row: f"here, row {row}"), "row 1: a value is")
    refused(lambda: numbers(np.array(["1"]), lambda row: f"here, row {row}"), "expected numbers")


@pytest.mark.parametrize("value", [None, "", b"text", 3, float("nan")])
def test_what_is_not_a_text_is_refused(value: Any) -> None:
    refused(lambda: text(value, "here"), "in place of a text")
