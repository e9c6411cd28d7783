from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from lancelike.embeddings.settings import check_secrets, digest, is_secret_name, mask, resolve, secret_values, storable
from lancelike.embeddings.variables import Variables, process_variables, read_secret
from lancelike.errors import SecretError, VariableNotFoundError


@pytest.fixture
def variables() -> Variables:
    return Variables()


def test_a_variable_is_what_was_set_then_the_environments_then_the_default(
    variables: Variables, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert variables.resolve("$var:LANCELIKE_TEST:fallback") == "fallback"
    monkeypatch.setenv("LANCELIKE_TEST", "from the environment")
    assert variables.resolve("$var:LANCELIKE_TEST:fallback") == "from the environment"
    variables.set("LANCELIKE_TEST", "set")
    assert variables.resolve("$var:LANCELIKE_TEST") == "set"
    variables.clear()
    assert variables.resolve("$var:LANCELIKE_TEST") == "from the environment"


def test_a_default_may_hold_colons_or_be_empty(variables: Variables) -> None:
    assert variables.resolve("$var:UNSET_URL:http://localhost:8080/v1") == "http://localhost:8080/v1"
    assert variables.resolve("$var:UNSET_URL:") == ""
    assert variables.resolve("plain:text") == "plain:text"


def test_a_variable_without_value_says_where_to_set_it(variables: Variables) -> None:
    with pytest.raises(VariableNotFoundError, match="Variable 'UNSET_KEY' not found: set the environment variable"):
        variables.resolve("$var:UNSET_KEY")


def test_read_secret_follows_a_default_that_names_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANCELIKE_TEST_KEY", "k")
    assert read_secret("$var:LANCELIKE_TEST_KEY") == "k"
    assert read_secret("given") == "given"
    assert read_secret(None) is None
    assert process_variables.get("LANCELIKE_TEST_KEY") == "k"


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "openai_api_key", "apikey", "apiKey", "password", "secret", "client_secret", "token"),
        *("access_token", "auth_token", "aws_secret_access_key"),
        *("Authorization", "X-Api-Key", "api-key", "x-goog-api-key", "Cookie"),
    ],
)
def test_names_that_plainly_hold_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["name", "max_tokens", "tokenizer", "use_token_pooling", "key", "pad_token", "author", "secretary"]
)
def test_names_that_do_not(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"api_key": "sk-1"}, "api_key"),
        ({"special": "x"}, "special"),
        ({"api_key": SecretStr("sk-1")}, "api_key"),
        ({"default_headers": {"Authorization": "Bearer x"}}, "default_headers.Authorization"),
        ({"credentials": {"user": "me"}}, "credentials.user"),
        ({"clients": [{"token": "x"}]}, "clients.token"),
        ({"base_url": "https://user:pw@host/v1"}, "base_url"),
        ({"base_url": "https://host/v1?api_key=abc"}, "base_url"),
    ],
)
def test_a_secret_written_out_is_refused(settings: dict[str, object], place: str) -> None:
    with pytest.raises(SecretError, match=f"Sensitive key '{place}' cannot be set to a hardcoded value") as caught:
        check_secrets(settings, ["special"])
    assert caught.value.setting == place


def test_references_and_what_holds_no_secret_pass() -> None:
    check_secrets(
        {
            "api_key": "$var:KEY",
            "password": None,
            "token": True,
            "default_headers": {"Authorization": "$var:AUTH", "X-Team": "search"},
            "base_url": "https://host:8080/v1?dim=3",
            "prompt": "see http://[broken",
        },
        [],
    )


def test_references_are_resolved_at_any_depth(variables: Variables) -> None:
    variables.set("K", "secret")
    given_ = {"api_key": "$var:K", "headers": {"Authorization": "$var:K", "n": 1}, "models": ["$var:M:small", None]}
    assert resolve(given_, variables) == {
        "api_key": "secret",
        "headers": {"Authorization": "secret", "n": 1},
        "models": ["small", None],
    }


def test_a_secrets_default_is_not_stored() -> None:
    assert storable({"api_key": "$var:K:sk-1", "name": "$var:N:small"}, []) == {
        "api_key": "$var:K",
        "name": "$var:N:small",
    }


def test_what_is_shown_has_no_secret() -> None:
    shown = mask({"api_key": "sk-1", "base_url": "https://u:pw@h", "headers": {"X-Api-Key": "k"}, "dim": 3}, [])
    assert shown == {"api_key": "***", "base_url": "***", "headers": {"X-Api-Key": "***"}, "dim": 3}
    assert mask({"api_key": "$var:K:sk-1"}, []) == {"api_key": "$var:K"}


def test_secret_values_are_found_wherever_they_are(variables: Variables) -> None:
    variables.set("K", "one")
    settings = {
        "api_key": "$var:K",
        "password": "$var:UNSET_KEY",
        "headers": {"Authorization": "two"},
        "url": "s3://a:three@b/?token=four",
        "token": SecretStr("five"),
        "name": "small",
    }
    assert secret_values(settings, [], variables) == {"one", "two", "three", "four", "five"}


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4) | st.none(), max_size=4))
def test_a_digest_depends_on_the_settings_not_on_their_order(settings: dict[str, object]) -> None:
    assert digest(settings) == digest(dict(reversed(settings.items())))
    assert digest(settings) != digest({**settings, "one more": 1})
