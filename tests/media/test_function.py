"""Functions of the media base class: any mixture of inputs, each answered in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.requests import embed_distinct
from lancelike.errors import BadInputError, BadMediaError, EmbeddingError, MediaFetchError
from lancelike.media import Audio, Image
from tests.media.drawing import VECTOR, encoded, picture, sine, sound
from tests.media.quadrants import Levels, Quadrants


def answers_to(function: Quadrants, values: list[Any], **options: Any) -> list[Any]:
    return list(embed_distinct(function, values, **options))


@pytest.fixture(autouse=True)
def _no_calls_yet() -> None:
    Quadrants.calls.clear()


def test_a_mixture_is_sorted_by_modality_and_answered_in_order(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(picture()))
    loud, quiet = sine(), 0.1 * sine()
    values = ["red", path.read_bytes(), sound(), str(path), picture(), (loud, 8_000), "a text.", (quiet, 8_000)]
    answers = answers_to(Levels.create(), values)
    for place in (1, 3, 4):
        np.testing.assert_allclose(answers[place], VECTOR, atol=0.01)
    np.testing.assert_allclose(answers[0][:3], [1, 0, 0])
    assert answers[5][0] == pytest.approx(answers[2][0], abs=0.01)
    assert answers[7][0] == pytest.approx(0.1 * answers[5][0], rel=0.05)
    assert sorted(Quadrants.calls) == [("audio", 3), ("image", 3), ("text", 2)]


def test_the_model_gets_batches_of_one_modality() -> None:
    values = [encoded(PICTURE) for PICTURE in [picture(2 * n) for n in range(1, 41)]]
    embed_distinct(Quadrants.create(batch_size=16), values)
    assert sorted(Quadrants.calls) == [("image", 8), ("image", 16), ("image", 16)]


def test_an_input_that_can_not_be_loaded_fails_alone_and_is_asked_for_once(tmp_path: Path) -> None:
    good = encoded(picture())
    values = [good, b"no picture", str(tmp_path / "absent.png"), good[:100], "green"]
    answers = answers_to(Quadrants.create(), values, stop_at_failure=False)
    assert [isinstance(answer, np.ndarray) for answer in answers] == [True, False, False, False, True]
    assert all(isinstance(answers[place], BadInputError) for place in (1, 2, 3))
    causes = [answers[place].__cause__ for place in (1, 2, 3)]
    assert [type(cause) for cause in causes] == [BadMediaError, MediaFetchError, BadMediaError]
    assert "absent.png" in str(answers[2])
    assert Quadrants.calls == [("image", 1), ("text", 1)]


def test_many_inputs_that_fail_are_no_sign_of_a_broken_function() -> None:
    values = [b"no picture %d" % n for n in range(40)]
    answers = answers_to(Quadrants.create(batch_size=4), values, stop_at_failure=False)
    assert all(isinstance(answer, BadInputError) for answer in answers)


def test_the_first_input_that_fails_is_raised_where_that_is_asked_for() -> None:
    with pytest.raises(EmbeddingError, match=r"row 1: .*neither an image nor a sound") as caught:
        embed_distinct(Quadrants.create(), [encoded(picture()), b"words"])
    assert caught.value.row == 1


def test_prompts_go_before_texts_alone(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(picture()))
    function = Quadrants.create(source_prompt="bright ", query_prompt="")
    answers = answers_to(function, ["red", str(path)])
    np.testing.assert_allclose(answers[0], np.zeros(12))
    np.testing.assert_allclose(answers[1], VECTOR, atol=0.01)


@pytest.mark.parametrize("strings", ["auto", "source", "text"])
def test_what_a_stored_string_is(strings: str, tmp_path: Path) -> None:
    function = Quadrants.create(strings=strings)
    answers = answers_to(function, ["red", str(tmp_path / "absent.png")], stop_at_failure=False)
    taken_for_sources = [isinstance(answer, BadInputError) for answer in answers]
    assert taken_for_sources == {"auto": [False, True], "source": [True, True], "text": [False, False]}[strings]


def test_a_string_that_is_searched_for_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(encoded(picture()))
    np.testing.assert_allclose(embed_query(Quadrants.create(), str(path)), np.zeros(12))
    np.testing.assert_allclose(embed_query(Quadrants.create(), Image(path)), VECTOR, atol=0.01)


def test_a_modality_that_is_not_embedded_is_an_error_of_the_input() -> None:
    with pytest.raises(BadInputError, match=r"'audio'.*embeds image, text"):
        embed_query(Quadrants.create(), Audio(sound()))


def test_settings_of_loading_are_not_in_what_shapes_a_vector() -> None:
    shaping = Quadrants.create(num_workers=2, fetch_timeout_s=1.0, max_pixels=5, allow_private_addresses=True)
    assert shaping.shaping_settings() == Quadrants.create().shaping_settings()
    assert Quadrants.create(strings="text").shaping_settings() != Quadrants.create().shaping_settings()
