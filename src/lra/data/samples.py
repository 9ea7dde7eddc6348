"""Single samples from files: pictures, sound, labels and texts, converted exactly or refused with their place."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lra.errors import UserError

SOUND_FORMATS = ("WAV", "WAVEX", "FLAC")
SOUND_CODES = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # Pillow's modes for 16-bit grey, by version and byte order
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", *GREY_16)
FLAC_MD5 = slice(26, 42)  # of the samples, in the header


def labels(values: Sequence[Any] | np.ndarray, classes: int, where: Callable[[int], str]) -> np.ndarray:
    """Classes (N,) int64 from whole numbers of any type, (N,) or (N, 1).

    Raises UserError naming the place, `where(row)`, of the first that is not a class 0 … classes − 1.
    """
    try:
        y = np.asarray(values)
    except ValueError:  # rows of different lengths
        y = np.empty((len(values), 2))
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or len(y) == 0:
        raise UserError(f"{where(0)}: labels of shape {y.shape}; expected one number a sample, (N,).")
    if y.dtype.kind not in "biuf":
        y = np.array([v if isinstance(v, (int, float)) else np.nan for v in y.tolist()], np.float64)
    good = (y >= 0) & (y < classes) & (y == np.floor(y))  # NaN is none of these
    if not good.all():
        row = int(np.argmin(good))
        raise UserError(
            f"{where(row)}: label {_plain(values[row])!r}; expected a whole number from 0 to {classes - 1}."
        )
    return y.astype(np.int64)


def numbers(values: np.ndarray, where: Callable[[int], str]) -> np.ndarray:
    """The values as float32. Raises UserError naming the first row with what is no number, NaN or infinite."""
    if values.dtype.kind not in "biuf":
        raise UserError(f"{where(0)}: values of type {values.dtype}; expected numbers.")
    if values.dtype.itemsize > 4 and len(values) and np.abs(values).max() > np.finfo(np.float32).max:
        values = np.where(np.abs(values) > np.finfo(np.float32).max, np.inf, values)
    values = values.astype(np.float32)
    good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not good.all():
        raise UserError(f"{where(int(np.argmin(good)))}: a value is missing, infinite or too large.")
    return values


def text(value: Any, where: str) -> str:
    """The value, if it is a text. Raises UserError if it is something else, or empty."""
    if not isinstance(value, str) or not value:
        raise UserError(f"{where}: {value!r} in place of a text.")
    return value


def picture(source: bytes | Path, side: int, *, color: bool, where: str) -> np.ndarray:
    """A square picture, (side, side) uint8 grey or (side, side, 3) uint8 RGB.

    16 bits are scaled to 8 (65535 is white). Raises UserError for what is broken, of another size, transparent,
    animated, in other colors than asked for, or 16 bits wide but filled with 8.
    """
    from PIL import Image

    content = _content(source, where)
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.verify()  # the checksums of a PNG; it has to be opened anew
        with Image.open(io.BytesIO(content)) as image:
            if image.size != (side, side):
                raise UserError(f"{where} is {image.size[0]} × {image.size[1]} pixels, expected {side} × {side}.")
            if getattr(image, "n_frames", 1) != 1 or image.mode not in MODES:
                raise UserError(
                    f"{where} has mode {image.mode} and {getattr(image, 'n_frames', 1)} frames; expected one "
                    "picture in grey or RGB."
                )
            if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
                raise UserError(f"{where} is transparent in places; expected an opaque picture.")
            pixels = _pixels(image, where)
    except UserError:
        raise
    except Exception as error:  # whatever a decoder says of a broken file
        raise UserError(f"{where} ({len(content)} bytes) cannot be read as an image: {error}. Get it again.") from error
    if color:
        return np.broadcast_to(pixels, (side, side, 3))
    if not (pixels == pixels[..., :1]).all():
        raise UserError(f"{where} has colors; expected a grey picture.")
    return pixels[..., 0]


def sound(source: bytes | Path, rate: int, where: str) -> np.ndarray:
    """Mono sound as (L,) int16, from FLAC or WAV, whatever its code; floating point means [−1, 1].

    Raises UserError for what is broken, cut off, empty, of another rate, with several channels or too loud.
    """
    with _opened(source, rate, where) as (file, content):
        wave = file.read(dtype="float64")
        if len(wave) != file.frames:
            raise UserError(f"{where} is cut off: {file.frames} samples promised, {len(wave)} found.")
        loudest = np.abs(wave).max()
        if not loudest <= 1:
            raise UserError(f"{where} has samples up to {loudest:g}; floating point sound lies in [−1, 1].")
        samples = np.clip(np.rint(wave * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
        checksum = content[FLAC_MD5]
        known = file.format == "FLAC" and file.subtype == "PCM_16" and any(checksum)
        if known and hashlib.md5(samples.astype("<i2").tobytes()).digest() != checksum:
            raise UserError(f"{where} is damaged: its samples do not match their checksum. Get it again.")
    return samples


def sound_length(source: bytes | Path, rate: int, where: str) -> int:
    """Number of samples of a sound. Raises UserError as `sound` does for what its header tells."""
    with _opened(source, rate, where) as (file, _):
        return file.frames


@contextmanager
def _opened(source: bytes | Path, rate: int, where: str) -> Iterator[tuple[Any, bytes]]:
    import soundfile

    content = _content(source, where)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.format not in SOUND_FORMATS or file.subtype not in SOUND_CODES:
                raise UserError(
                    f"{where} is {file.format} with {file.subtype}; expected WAV or FLAC with one of "
                    f"{', '.join(SOUND_CODES)}."
                )
            if file.samplerate != rate or file.channels != 1 or file.frames == 0:
                raise UserError(
                    f"{where} has {file.frames} samples at {file.samplerate} Hz in {file.channels} channels; expected "
                    f"one channel at {rate} Hz."
                )
            if file.format != "FLAC" and (missing := _missing(content)):
                raise UserError(f"{where} is cut off: {missing} bytes of its sound are missing. Get it again.")
            yield file, content
    except soundfile.LibsndfileError as error:
        raise UserError(f"{where} cannot be read as audio: {error}. Unpack or download it again.") from None


def _content(source: Any, where: str) -> bytes:
    """The bytes given, or those of the file. Raises UserError if there are none."""
    try:
        content = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error.strerror}.") from error
    if not isinstance(content, bytes):
        raise UserError(f"{where}: {content!r} in place of the bytes of a file.")
    return content


def _missing(wav: bytes) -> int:
    """How many bytes of sound the header of a WAV file promises beyond its end; libsndfile does not say."""
    order: Literal["big", "little"] = "big" if wav.startswith(b"RIFX") else "little"
    start = 12
    while start + 8 <= len(wav):
        size = int.from_bytes(wav[start + 4 : start + 8], order)
        if wav[start : start + 4] == b"data":
            return max(0, start + 8 + size - len(wav))
        start += 8 + size + size % 2
    return 0


def _pixels(image: Any, where: str) -> np.ndarray:
    """(H, W, 1 or 3) uint8."""
    if image.mode == "L":
        return np.asarray(image)[..., None]
    if image.mode not in GREY_16:
        wide = any("16" in str(part[3]) for part in image.tile)  # Pillow takes the upper 8 of 16 bits
        pixels = np.asarray(image.convert("RGB"))
        if wide and pixels.max() == 0:
            raise UserError(f"{where} has 16 bits a color, but no value above 255; 65535 would be white.")
        return pixels
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() >= 2**16:
        raise UserError(f"{where} has grey values from {values.min()} to {values.max()}; expected 0 to 65535.")
    if 0 < values.max() < 256:
        raise UserError(f"{where} has 16 bits a pixel, but no value above {values.max()}; 65535 would be white.")
    return ((values + 128) // 257).astype(np.uint8)[..., None]


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
