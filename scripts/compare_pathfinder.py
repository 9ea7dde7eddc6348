"""Compare our Pathfinder images with those of the original generator: statistics with p-values, and a contact
sheet.

    python scripts/compare_pathfinder.py FOLDER --sheet docs/images/pathfinder_contact_sheet.png

FOLDER holds pathfinder32_original.npz (x_hard14, y_hard14, x_inter9, y_inter9, x_base6, y_base6) and
pathfinder128_original.npz (x, y): images (B, S, S) uint8 and labels (B,) of github drewlinsley/pathfinder at
commit ab9c130 with the parameters of the Long Range Arena. Ends with status 1 if a p-value is below --alpha
over the number of tests.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from pathfinder_statistics import compare
from PIL import Image, ImageDraw

from lra.cli import count, run
from lra.errors import UserError
from lra.pathfinder.generator import generate_batch, preset

SETS = {
    "32 hard": ("pathfinder32_original.npz", "x_hard14", "y_hard14", preset(32)),
    "32 intermediate": ("pathfinder32_original.npz", "x_inter9", "y_inter9", preset(32, "intermediate")),
    "32 baseline": ("pathfinder32_original.npz", "x_base6", "y_base6", preset(32, "baseline")),
    "128 hard": ("pathfinder128_original.npz", "x", "y", preset(128)),
}
SHEET = {
    "32 hard": (4, 8, 3),
    "128 hard": (2, 6, 1),
}  # rows, columns and magnification of each half of the sheet


def load(folder: Path, file: str, *keys: str) -> list[np.ndarray]:
    path = folder / file
    if not path.exists():
        raise UserError(f"{path} is missing; see --help for the files that FOLDER must hold.")
    with np.load(path) as arrays:
        return [arrays[key] for key in keys]


def tile(images: np.ndarray, rows: int, columns: int, zoom: int) -> Image.Image:
    framed = np.pad(images[: rows * columns], ((0, 0), (1, 1), (1, 1)), constant_values=70)
    side = framed.shape[1]
    grid = framed.reshape(rows, columns, side, side).transpose(0, 2, 1, 3).reshape(rows * side, columns * side)
    return Image.fromarray(np.kron(grid, np.ones((zoom, zoom), np.uint8)))


def contact_sheet(pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> Image.Image:
    gap, caption = 12, 16
    halves = {name: [tile(images, *SHEET[name]) for images in pair] for name, pair in pairs.items()}
    width = max(2 * left.width + gap for left, _ in halves.values())
    sheet = Image.new("L", (width, sum(left.height + caption for left, _ in halves.values())))
    draw, y = ImageDraw.Draw(sheet), 0
    for name, (original, ours) in halves.items():
        for x, image, title in ((0, original, "original generator"), (original.width + gap, ours, "ours")):
            draw.text((x + 2, y + 2), f"{name}: {title}", fill=255)
            sheet.paste(image, (x, y + caption))
        y += original.height + caption
    return sheet


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=count, default=4000, help="images of ours in each set (4000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of our images (0)")
    parser.add_argument("--alpha", type=float, default=0.01, help="chance of a false alarm over all tests (0.01)")
    parser.add_argument("--sheet", type=Path, help="where to write the contact sheet")
    arguments = parser.parse_args(given)

    pairs, p_values = {}, []
    for name, (file, x, y, parameters) in SETS.items():
        original, labels = load(arguments.folder, file, x, y)
        generate_batch(parameters, arguments.seed, 0, 1)  # compiled before the clock starts
        start = time.perf_counter()
        batch = generate_batch(parameters, arguments.seed, 0, arguments.count)
        rate = arguments.count / (time.perf_counter() - start)
        rng = np.random.default_rng(arguments.seed)
        report = compare(batch.images, original, batch.labels, labels, parameters, rng)
        print(f"\n{name}: {arguments.count} of ours ({rate:.0f} images/s), {len(original)} of the original")
        print(f"{'':28}{'ours':>10}{'original':>10}{'p':>8}")
        for statistic, (our_mean, their_mean, p) in report.items():
            print(f"{statistic:28}{our_mean:10.4f}{their_mean:10.4f}{p:8.3f}")
            p_values.append(p)
        if name in SHEET:
            pairs[name] = (original, batch.images)
    if arguments.sheet:
        contact_sheet(pairs).save(arguments.sheet, optimize=True)
        print(f"\nContact sheet: {arguments.sheet}")
    limit = arguments.alpha / len(p_values)
    print(f"\n{len(p_values)} tests; smallest p {min(p_values):.4f}; alarm below {limit:.5f}")
    return int(min(p_values) < limit)


if __name__ == "__main__":
    run(main, sys.argv[1:])
