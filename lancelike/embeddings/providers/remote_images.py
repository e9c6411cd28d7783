"""What functions share whose service embeds images beside texts: which models do, and images as they are sent."""

from __future__ import annotations

import base64
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.loading import Loaded, MediaInputs
from lancelike.embeddings.providers.remote import RemoteTextFunction
from lancelike.errors import BadEmbeddingError, MediaTooLargeError
from lancelike.media import Image, MediaLimits
from lancelike.media.files import as_file, pixels_of
from lancelike.media.formats import mime_type
from lancelike.media.values import Media
from lancelike.types import Modality


class RemoteImageFunction(MediaInputs, RemoteTextFunction):
    """A remote function some of whose models take images; a subclass gives `_embed_mixed` beside `_embed`.

    An image is fetched and decoded here, and its bytes are sent: as they are, or as PNG where a decoder of another's
    would not show them upright and opaque. Nothing is made smaller. Texts alone are sent as by any text function.

    Attributes:
        max_source_bytes: Most bytes of an image, read and sent.
    """

    max_concurrency: int = Field(4, ge=1)

    image_models: ClassVar[tuple[str, ...]] = ()
    """The models that take images, `*` standing for any ending."""
    image_formats: ClassVar[frozenset[str]] = frozenset({"JPEG", "PNG"})
    """Formats that the service reads, as Pillow names them, PNG among them."""
    max_request_bytes: ClassVar[int | None] = None
    """Most bytes of a request's images in base64; a request of more is halved before it is sent."""
    max_request_pixels: ClassVar[int | None] = None
    """Most pixels of a request's images, where the service counts them; a request of more is halved likewise."""

    @classmethod
    def _describe(cls) -> FunctionDescription:
        return replace(super()._describe(), modalities=("text", "image"))

    @property
    def modalities(self) -> frozenset[Modality]:
        """What the model embeds: texts, and images if it is one of `image_models`."""
        return frozenset({"text", "image"} if self._takes_images() else {"text"})

    def what_it_embeds(self) -> str:
        """Its name and what its model embeds; if that is texts alone, the models that take images."""
        if self._takes_images():
            return super().what_it_embeds()
        return f"{self.label} embeds text with the model {self.name!r}; images with {', '.join(self.image_models)}"

    def shaping_settings(self) -> dict[str, Any]:
        """Those of a text function, so that a text's vector is the same one; and `strings` where it is set."""
        settings = super().shaping_settings()
        if self.strings == "auto":
            del settings["strings"]
        return settings

    @abstractmethod
    def _embed_mixed(self, inputs: list[Loaded], role: Role) -> Embeddings:
        """One request: a vector for each of *inputs*, texts and files of images (at least one), in their order."""

    def _takes_images(self) -> bool:
        return any(fnmatchcase(self._model, pattern) for pattern in self.image_models)

    @property
    def _model(self) -> str:
        """The model's name as `image_models` has it."""
        return self.name

    def _embed_prompted(self, texts: Any, role: Role) -> Embeddings:
        given = self.sanitize_input(texts)
        if all(self._is_text(value, role) for value in given):
            return self._embed(self.prompted(given, role), role)
        self.preflight()
        loaded = self._load(given, role)
        inputs = [each for each in loaded if isinstance(each, Loaded)]
        vectors = iter(self._answers(inputs, role))
        return [next(vectors) if isinstance(each, Loaded) else each for each in loaded]

    def _answers(self, inputs: list[Loaded], role: Role) -> Embeddings:
        if not inputs:
            return []
        has_images = any(each.modality == "image" for each in inputs)
        self._refuse_oversized(inputs)
        vectors = self._embed_mixed(inputs, role) if has_images else self._embed([each.value for each in inputs], role)
        if len(vectors) != len(inputs):
            problem = f"{self.label} answered {len(vectors)} vectors for {len(inputs)} inputs"
            raise BadEmbeddingError(problem, function=self.label)
        return vectors

    def _refuse_oversized(self, inputs: list[Loaded]) -> None:
        images = [each.value for each in inputs if each.modality == "image"]
        if len(inputs) > 1:
            self._refuse_over(self.max_request_bytes, "bytes in base64", map(_size_in_base64, images))
            self._refuse_over(self.max_request_pixels, "pixels", map(pixels_of, images))

    def _refuse_over(self, limit: int | None, unit: str, sizes: Iterable[int]) -> None:
        if limit is not None and (size := sum(sizes)) > limit:
            problem = f"the images of one request have {size} {unit}, and {self.label} takes {limit}"
            raise MediaTooLargeError(problem, limit=limit)

    def _prepared(self, media: Media, limits: MediaLimits) -> bytes:
        assert isinstance(media, Image)  # `modalities` has no sounds
        file = as_file(media, self.image_formats, limits)
        if len(file) > limits.max_bytes:
            problem = f"it has {len(file)} bytes as {mime_type(file)}, and {limits.max_bytes} are allowed"
            raise MediaTooLargeError(problem, limit=limits.max_bytes)
        return file


def _size_in_base64(file: bytes) -> int:
    return 4 * -(-len(file) // 3)


def in_base64(file: bytes) -> str:
    """*file* in base64."""
    return base64.b64encode(file).decode("ascii")


def data_uri(file: bytes) -> str:
    """The image in *file* as a `data:` URI."""
    return f"data:{mime_type(file)};base64,{in_base64(file)}"
