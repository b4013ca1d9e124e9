"""Makes the class `nothing` of the model `recycling`: images in which there is nothing to sort.

    python recycling.nothing.py OUT [--frames DIR] [--hands DIR] [--train 300] [--val 45] [--seed 0]

writes OUT/images/{train,val}/nothing/*.jpg, 224x168. Half of the images are drawn (boards under a lamp, walls, wood,
cloth, tiles, stripes, blurred colours, darkness). The others are crops of the frames in --frames (every file of the
folder; the last sixth by name goes into val) and, if --hands is given, hands before a light sheet from the set `hands`
(DIR/images/{train,val}/*/*.jpg: its val has other people). Without those folders everything is drawn. Needs Pillow and
NumPy; the same seed and files give the same images.
"""

# The shipped files were trained with these images. `trainer data nothing` makes the same kinds without Python.

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

WIDTH, HEIGHT = 224, 168


def smooth(random, cells):
    """Random values that change slowly, 0 to 1: `cells` x `cells` of them, resized."""
    coarse = (random.random((cells, cells)) * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.BICUBIC), dtype=np.float32) / 255


def colour(random, low=0.0, high=1.0):
    """Mostly grey: rooms are."""
    grey = random.uniform(low, high)
    return np.clip(grey + random.normal(0, 0.08, 3), 0, 1)


def grid():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return x / WIDTH, y / HEIGHT


def board(random):
    """A plain surface under a lamp: light falls off to the edges, soft shadows."""
    x, y = grid()
    centre = random.uniform(0.2, 0.8, 2)
    fall = 1 - random.uniform(0.1, 0.6) * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2)
    shadow = 1 - random.uniform(0, 0.35) * smooth(random, random.integers(2, 5))
    return colour(random, 0.35, 1.0) * (fall * shadow)[..., None]


def wood(random):
    x, y = grid()
    along, across = (x, y) if random.random() < 0.5 else (y, x)
    rings = np.sin(random.uniform(20, 90) * (across + 0.08 * smooth(random, 4) + 0.02 * along))
    base = np.array([0.55, 0.38, 0.22]) * random.uniform(0.5, 1.4)
    return base * (1 + random.uniform(0.05, 0.25) * rings)[..., None]


def cloth(random):
    x, y = grid()
    threads = np.sin(random.uniform(100, 300) * x) * np.sin(random.uniform(100, 300) * y)
    folds = smooth(random, random.integers(3, 7))
    return colour(random, 0.1, 0.9) * (0.6 + 0.5 * folds + 0.06 * threads)[..., None]


def tiles(random):
    x, y = grid()
    count = random.integers(3, 12)
    line = random.uniform(0.03, 0.1)
    joint = ((x * count % 1) < line) | ((y * count * HEIGHT / WIDTH % 1) < line)
    a, b = colour(random), colour(random)
    if random.random() < 0.5:
        checker = (np.floor(x * count) + np.floor(y * count * HEIGHT / WIDTH)) % 2
        return np.where(checker[..., None] > 0, a, b)
    return np.where(joint[..., None], a, b)


def stripes(random):
    x, y = grid()
    angle = random.uniform(0, np.pi)
    wave = np.sin(random.uniform(10, 60) * (np.cos(angle) * x + np.sin(angle) * y))
    if random.random() < 0.5:
        wave = np.sign(wave)
    return colour(random) + 0.25 * wave[..., None] * random.uniform(0.2, 1)


def blobs(random):
    """A room out of focus."""
    return np.stack([smooth(random, random.integers(2, 8)) for _ in range(3)], axis=-1)


def darkness(random):
    return np.full((HEIGHT, WIDTH, 3), random.uniform(0, 0.12)) * colour(random)


DRAWN = [board, board, board, wood, cloth, tiles, stripes, blobs, darkness]


def finish(random, image):
    image = image * random.uniform(0.7, 1.15) + random.normal(0, random.uniform(0.003, 0.03), (HEIGHT, WIDTH, 3))
    picture = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.2)))


def crop(random, path):
    """A random part of a frame, at least half of its sides."""
    with Image.open(path) as frame:
        frame = frame.convert("RGB")
        share = random.uniform(0.5, 1.0)
        height = int(frame.height * share)
        width = min(int(height * WIDTH / HEIGHT), frame.width)
        left, top = random.integers(0, frame.width - width + 1), random.integers(0, frame.height - height + 1)
        part = frame.crop((left, top, left + width, top + height)).resize((WIDTH, HEIGHT), Image.BILINEAR)
    if random.random() < 0.5:
        part = part.transpose(Image.FLIP_LEFT_RIGHT)
    return np.asarray(part, dtype=np.float32) / 255


def hand(random, path):
    """A hand before a sheet, which fills the frame's middle."""
    with Image.open(path) as photograph:
        return np.asarray(photograph.convert("RGB").resize((WIDTH, HEIGHT), Image.BILINEAR), dtype=np.float32) / 255


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=Path)
    parser.add_argument("--hands", type=Path)
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--val", type=int, default=45)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    frames = sorted(args.frames.iterdir()) if args.frames else []
    cut = len(frames) - len(frames) // 6
    parts = {"train": frames[:cut], "val": frames[cut:]}
    for number, (split, count) in enumerate({"train": args.train, "val": args.val}.items()):
        random = np.random.default_rng([args.seed, number])
        hands = sorted((args.hands / "images" / split).glob("*/*.jpg")) if args.hands else []
        folder = args.out / "images" / split / "nothing"
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            real = [(crop, parts[split])] * bool(parts[split]) + [(hand, hands)] * bool(hands)
            if real and index % 2:
                make, files = real[index // 2 % len(real)]
                kind, image = make.__name__, make(random, files[random.integers(len(files))])
            else:
                draw = DRAWN[index // 2 % len(DRAWN)]
                kind, image = draw.__name__, draw(random)
            finish(random, image).save(folder / f"{kind}-{index:04}.jpg", quality=88)


main()
