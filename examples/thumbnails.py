"""Thumbnails of many pictures: work that computes, sent where it runs best.

python examples/thumbnails.py

With Pillow, which lets go of the interpreter's lock while it computes, that is threads; without, it is plain Python,
and that is processes. Nobody has to know: the first calls are measured. The pictures are drawn here, in a temporary
folder.
"""

import tempfile
import time
from pathlib import Path

import rota

try:
    from PIL import Image
except ImportError:
    Image = None

PICTURES = 48
WIDTH, HEIGHT = 800, 600
SCALE = 8


def draw(path: Path, number: int) -> Path:
    """A picture of coloured stripes, in the simplest format that there is (PPM)."""
    line = bytes((x * number // 8 + colour * 85) % 256 for x in range(WIDTH) for colour in range(3))
    lines = (line[3 * y :] + line[: 3 * y] for y in range(HEIGHT))
    path.write_bytes(b"P6 %d %d 255\n" % (WIDTH, HEIGHT) + b"".join(lines))
    return path


def make_thumbnail(path: Path) -> Path:
    """A picture of an eighth of the size beside it."""
    small = path.with_suffix(".thumbnail.ppm")
    if Image is not None:
        with Image.open(path) as picture:
            picture.resize((WIDTH // SCALE, HEIGHT // SCALE), Image.Resampling.LANCZOS).save(small)
    else:
        header, pixels = path.read_bytes().split(b"\n", 1)
        width, height = (int(number) // SCALE for number in header.split()[1:3])
        small.write_bytes(b"P6 %d %d 255\n" % (width, height) + shrunk(pixels, width, height))
    return small


def shrunk(pixels: bytes, width: int, height: int) -> bytes:
    """Each pixel of the small picture is the average of a square of the large one."""
    line = 3 * width * SCALE
    averages = bytearray()
    for y in range(height):
        for x in range(width):
            for colour in range(3):
                first = y * SCALE * line + x * SCALE * 3 + colour
                square = (pixels[at : at + 3 * SCALE : 3] for at in range(first, first + SCALE * line, line))
                averages.append(sum(map(sum, square)) // SCALE**2)
    return bytes(averages)


async def main(paths: list[Path]) -> None:
    began = time.perf_counter()
    size = 0
    async for small in rota.map(make_thumbnail, paths, progress=True):
        size += small.stat().st_size
    print(f"{len(paths)} thumbnails, {size:,} bytes, in {time.perf_counter() - began:.1f} s")
    print(rota.explain(make_thumbnail))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        pictures = [draw(Path(folder, f"picture-{number}.ppm"), number) for number in range(PICTURES)]
        rota.run(main(pictures))
