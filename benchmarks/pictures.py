"""How fast small JPEGs become rows with vectors, through open_clip, beside the model alone."""

from __future__ import annotations

import io
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import lancedb
import lancedb.embeddings
import lancedb.pydantic
import numpy as np
from lancedb.embeddings.open_clip import OpenClipEmbeddings

import lancelike
import lancelike.embeddings
import lancelike.pydantic
from benchmarks.memory import peak_rss_bytes
from benchmarks.report import Goal, Section, Table, ratio, say
from benchmarks.scale import Scale, fresh_folder
from benchmarks.timing import Times, interleave
from lancelike._optional import require
from lancelike.cli.drawings import Drawing, draw, every_drawing
from lancelike.types import Vectors

TINY = Path(__file__).parents[1] / "tests" / "models" / "tiny-clip"
VISION = "ViT-Ti-32"
"""A vision transformer of the usual tiny size with patches of 32 pixels; open_clip has no CLIP with one of its own."""
SHAPE = {
    "embed_dim": 192,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 192, "head_width": 64, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}
BATCH = 64
SIDE = 256
NOISE = 4
"""Standard deviation of what is added to each channel of a picture: no area is flat, and a JPEG has 9 kB."""
COMMENT_MARKER = b"\xff\xfe"
LEAST_SHARE = 0.9
"""Of the model's own throughput, where the model is what takes the time."""
MOST_GROWTH_BYTES = 64 * 2**20
"""What four times as many pictures may add to the peak of memory: less than a tenth of what they take decoded."""


class Embedder(Protocol):
    """Something that turns pictures into vectors."""

    name: str

    def start(self, folder: Path) -> None:
        """Begin with nothing stored."""

    def add(self, files: Sequence[Path]) -> None:
        """Embed the pictures in *files*."""


@dataclass(frozen=True)
class Model:
    """A model of open_clip, as its functions name it."""

    title: str
    name: str
    pretrained: str

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """The model, and what it does to a picture before it sees it."""
        open_clip = require("open_clip", extra="open-clip", needed_by="the benchmark")
        model, preprocess = open_clip.create_model_from_pretrained(self.name, pretrained=self.pretrained or None)
        return model.eval(), preprocess


class ModelAlone:
    """`model.encode_image` of one batch of prepared pictures, as often as there are batches; nothing is stored."""

    name = "the model alone"

    def __init__(self, model: Model, files: Sequence[Path]) -> None:
        torch = require("torch", extra="open-clip", needed_by="the benchmark")
        image = require("PIL.Image", extra="images", needed_by="the benchmark")
        self._model, preprocess = model.loaded
        self._batch = torch.stack([preprocess(image.open(file)) for file in files[:BATCH]])
        self._no_gradients = torch.inference_mode

    def start(self, folder: Path) -> None:
        return

    def add(self, files: Sequence[Path]) -> None:
        with self._no_gradients():
            for start in range(0, len(files), BATCH):
                self._model.encode_image(self._batch[: len(files) - start], normalize=True)


class LibraryEmbedder:
    """A table with an `open-clip` column over a column of files; lancelike and lancedb are written alike."""

    name: str
    library: Any
    alias = "open-clip"

    def __init__(self, model: Model) -> None:
        self._model = model

    @cached_property
    def function(self) -> Any:
        settings = {"name": self._model.name, "pretrained": self._model.pretrained, "batch_size": BATCH}
        return self.library.embeddings.get_registry().get(self.alias).create(**settings)

    @cached_property
    def _schema(self) -> Any:
        library, function = self.library, self.function

        class Picture(library.pydantic.LanceModel):  # type: ignore[misc,name-defined]  # the base is one of two
            file: str = function.SourceField()
            vector: library.pydantic.Vector(function.ndims()) = function.VectorField()  # type: ignore[valid-type]

        return Picture

    def start(self, folder: Path) -> None:
        self._table = self.library.connect(folder).create_table("pictures", schema=self._schema)

    def add(self, files: Sequence[Path]) -> None:
        self._table.add([{"file": str(file)} for file in files])

    def vectors(self) -> Vectors:
        column = self._table.to_arrow()["vector"].combine_chunks()
        numbers: Vectors = column.flatten().to_numpy()
        return numbers.reshape(len(column), -1)


class Lancelike(LibraryEmbedder):
    name, library = "lancelike", lancelike


class LanceDB(LibraryEmbedder):
    name, library, alias = "lancedb", lancedb, "open-clip-not-in-training"


@lancedb.embeddings.register(LanceDB.alias)
class OpenClipNotInTraining(OpenClipEmbeddings):  # type: ignore[misc]  # the base has no types here
    """lancedb's function, whose model is left in training, where one of a ResNet's pictures is an error."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._model.eval()


def run(scale: Scale) -> Section:
    say("pictures")
    folder = scale.folder / "pictures"
    files = make_pictures(folder, max(scale.pictures))
    small, vision = Model("tiny", f"local-dir:{TINY}", ""), random_model(scale.folder)
    tables, goals = [], []
    for model, count in zip((small, vision), scale.pictures, strict=True):
        times, furthest = measured(model, files[:count], scale)
        tables.append(as_table(f"{model.title}, {count:,} pictures", count, times))
        goals += goals_of(model, count, times, furthest)
    tables.append(memory_table(peaks := [peak_growth_bytes(folder, n) for n in memory_counts(scale)], scale))
    goals.append(memory_goal(peaks, scale))
    return Section("Pictures: JPEG files through open_clip", text(scale), tables, goals)


def make_pictures(folder: Path, count: int) -> list[Path]:
    """JPEG files, no two alike; of the 240 drawings each is there again and again, with another comment in the file."""
    folder.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        drawn = list(pool.map(drawn_file, every_drawing(), itertools.count()))
    files = [folder / f"{i:05}.jpg" for i in range(count)]
    for i, file in enumerate(files):
        file.write_bytes(with_comment(drawn[i % len(drawn)], str(i).encode()))
    return files


def drawn_file(drawing: Drawing, seed: int) -> bytes:
    """A JPEG of *drawing*, drawn smaller and made large, with noise of the size of its pixels."""
    images = require("PIL.Image", extra="images", needed_by="the benchmark")
    large = draw(drawing, random.Random(seed), SIDE // 4).resize((SIDE, SIDE))
    noise = np.random.default_rng(seed).standard_normal((SIDE, SIDE, 3), dtype=np.float32) * NOISE
    file = io.BytesIO()
    images.fromarray((large + noise).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """*jpeg* with the *comment* as its first segment."""
    return jpeg[:2] + COMMENT_MARKER + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def random_model(folder: Path) -> Model:
    """A model with weights at random: what it answers is worth nothing, and takes the time it takes."""
    open_clip = require("open_clip", extra="open-clip", needed_by="the benchmark")
    torch = require("torch", extra="open-clip", needed_by="the benchmark")
    config, weights = folder / f"{VISION}.json", folder / f"{VISION}.pt"
    config.write_text(json.dumps(SHAPE))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    torch.save(open_clip.create_model(VISION).state_dict(), weights)
    return Model(f"{VISION} with random weights", VISION, str(weights))


def measured(model: Model, files: Sequence[Path], scale: Scale) -> tuple[dict[str, Times], float]:
    """Times of all, and how far lancelike's vectors lie from lancedb's at most."""
    ours, theirs = Lancelike(model), LanceDB(model)
    embedders: list[Embedder] = [ModelAlone(model, files), ours, theirs]
    for each in embedders:  # each library loads the model once
        adding(each, scale.folder, files[:2])()
    times = interleave(
        {each.name: partial(job, each, scale.folder, files) for each in embedders}, passes=scale.picture_passes
    )
    cosines = np.einsum("ij,ij->i", ours.vectors(), theirs.vectors(), dtype=np.float64)
    return times, float((1 - cosines).max())


def job(embedder: Embedder, folder: Path, files: Sequence[Path], _number: int) -> Callable[[], None]:
    return adding(embedder, folder, files)


def adding(embedder: Embedder, folder: Path, files: Sequence[Path]) -> Callable[[], None]:
    """The `add` to time."""
    embedder.start(fresh_folder(folder / embedder.name))
    return partial(embedder.add, files)


def as_table(title: str, count: int, times: dict[str, Times]) -> Table:
    header = ["", "best s", "pictures/s, best", "share of the model's throughput", "speed over lancedb"]
    body = [
        [
            name,
            *(f"{each.best_s:.3g}", f"{count / each.best_s:,.0f}"),
            *(ratio(times[to].ratio(each), times[to].ratio_of_best(each)) for to in (ModelAlone.name, LanceDB.name)),
        ]
        for name, each in times.items()
    ]
    return Table(title, [header, *body])


def goals_of(model: Model, count: int, times: dict[str, Times], furthest: float) -> list[Goal]:
    share = times[ModelAlone.name].ratio(times[Lancelike.name])
    speed = times[LanceDB.name].ratio(times[Lancelike.name])
    what = f"pictures, {model.title}"
    goals = [
        Goal(f"{what}: speed over lancedb's", "> 1", f"{speed:.2f}", speed > 1),
        Goal(f"{what}: cosine distance to lancedb's vectors", "≤ 1e-3", f"{furthest:.0e}", furthest <= 1e-3),
    ]
    if model.name == VISION:
        share_of = f"{what}: share of the model's own throughput"
        goals.append(Goal(share_of, f"≥ {LEAST_SHARE}", f"{share:.2f}", share >= LEAST_SHARE))
    return goals


def memory_counts(scale: Scale) -> tuple[int, int]:
    return scale.pictures[0] // 4, scale.pictures[0]


def memory_table(peaks: Sequence[int], scale: Scale) -> Table:
    header = ["", *(f"{count:,} pictures" for count in memory_counts(scale))]
    return Table(
        "Growth of the peak of memory in one `add`, MiB", [header, ["lancelike", *(f"{p / 2**20:.0f}" for p in peaks)]]
    )


def memory_goal(peaks: Sequence[int], scale: Scale) -> Goal:
    growth = peaks[1] - peaks[0]
    what = "pictures: memory for four times as many, MiB"
    return Goal(what, f"≤ {MOST_GROWTH_BYTES / 2**20:.0f}", f"{growth / 2**20:.0f}", growth <= MOST_GROWTH_BYTES)


def peak_growth_bytes(folder: Path, count: int) -> int:
    """By how much the peak resident set of a fresh process grows when lancelike adds *count* pictures of *folder*."""
    command = [sys.executable, "-m", "benchmarks.pictures", str(folder), str(count)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    return int(json.loads(answer.stdout))


def growth_here(folder: Path, count: int) -> int:
    files = sorted(folder.glob("*.jpg"))
    embedder = Lancelike(Model("tiny", f"local-dir:{TINY}", ""))
    adding(embedder, folder / "tables", files[: 4 * BATCH])()
    before = peak_rss_bytes()
    adding(embedder, folder / "tables", files[:count])()
    return peak_rss_bytes() - before


def text(scale: Scale) -> str:
    tiny, vision = scale.pictures
    return (
        f"`add` of a column of paths through the `open-clip` function of each library, {BATCH} pictures in a pass, on "
        "the CPU, beside `model.encode_image` of pictures that are decoded, prepared and in memory already. JPEG files "
        f"of {SIDE} x {SIDE} pixels, no two alike. {tiny:,} of them go through the small CLIP of the tests, which "
        "is so fast that decoding is most of the work and no decoder could keep it busy; "
        f"{vision:,} through {VISION}, 12 layers 192 wide, here with random weights, which is what the goal is about: "
        "it takes about six times as long for a picture as preparing that does, and while it works on one batch, the "
        "next are read and prepared on the other core. A larger model, as usual ones are, hides that the better. "
        f"{scale.picture_passes} passes, each into a new database; models are loaded before, and run on as many "
        "threads for all. Memory is of fresh processes, with the small model."
    )


if __name__ == "__main__":
    print(growth_here(Path(sys.argv[1]), int(sys.argv[2])))
