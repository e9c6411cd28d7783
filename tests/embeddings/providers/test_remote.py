"""What is particular to one provider: its models, its settings, and what it puts on the wire."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lancelike.embeddings import EmbeddingFunction, get_registry
from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.providers.gemini import PaLMText
from lancelike.embeddings.providers.remote import RemoteTextFunction
from lancelike.embeddings.providers.remote_images import RemoteImageFunction
from lancelike.embeddings.requests import embed_sources
from lancelike.errors import EmbeddingError, EmbeddingFunctionUnavailable, InputTooLong, SchemaError
from lancelike.ledger import fingerprint
from tests.embeddings import wire_protocols as wire
from tests.embeddings.wire import KEY, NDIMS, Failure, Protocol, WireServer, vector

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

FAST = {"first_wait_s": 0.001, "max_wait_s": 0.05, "timeout_s": 5.0}


@pytest.fixture
def serve() -> Iterator[Any]:
    with ExitStack() as stack:

        def start(protocol: Protocol, **options: Any) -> WireServer:
            return stack.enter_context(WireServer(protocol, **options).running())

        yield start


def make(function: str, /, **settings: Any) -> EmbeddingFunction:
    made: EmbeddingFunction = get_registry().get(function).create(**{**FAST, **settings})
    return made


@pytest.mark.parametrize(
    ("function", "settings", "ndims"),
    [
        ("openai", {}, 1536),  # text-embedding-ada-002, LanceDB's default
        ("openai", {"dim": 256}, 1536),
        ("openai", {"name": "text-embedding-3-small"}, 1536),
        ("openai", {"name": "text-embedding-3-large"}, 3072),
        ("openai", {"name": "text-embedding-3-large", "dim": 256}, 256),
        ("azure-openai", {"name": "text-embedding-3-small", "dim": 512}, 512),
        ("cohere", {}, 768),  # embed-multilingual-v2.0
        ("cohere", {"name": "large"}, 4096),
        ("cohere", {"name": "embed-english-light-v3.0"}, 384),
        ("cohere", {"name": "embed-v5.0-pro"}, 2048),
        ("cohere", {"name": "embed-v4.0", "output_dimension": 256}, 256),
        ("gemini-text", {}, 768),
        ("gemini-text", {"name": "models/embedding-001"}, 768),
        ("gemini-text", {"name": "gemini-embedding-2", "dim": 3072}, 3072),
        ("bedrock-text", {}, 1536),  # amazon.titan-embed-text-v1
        ("bedrock-text", {"name": "amazon.titan-embed-text-v2:0"}, 1024),
        ("bedrock-text", {"name": "amazon.titan-embed-text-v2:0", "dim": 256}, 256),
        ("bedrock-text", {"name": "eu.cohere.embed-v4:0"}, 1536),
        (
            "bedrock-text",
            {"name": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-2-multimodal-embeddings-v1:0"},
            3072,
        ),
        ("vertex-multimodal", {}, 1408),
        ("vertex-multimodal", {"dim": 256}, 256),
        ("voyageai", {"name": "voyage-4"}, 1024),
        ("voyageai", {"name": "voyage-3-lite"}, 512),
        ("voyageai", {"name": "voyage-code-2"}, 1536),
        ("voyageai", {"name": "voyage-3-large", "output_dimension": 2048}, 2048),
        ("jina", {}, 768),  # jina-clip-v1
        ("jina", {"name": "jina-embeddings-v4"}, 2048),
        ("jina", {"name": "jina-embeddings-v5-omni-small"}, 1024),
        ("jina", {"name": "jina-embeddings-v3", "dim": 64}, 64),
        ("mistral", {}, 1024),
        ("mistral", {"name": "codestral-embed", "dim": 256}, 256),
        ("watsonx", {}, 768),  # ibm/slate-125m-english-rtrvr
        ("nomic", {"dim": 64}, 64),
        ("huggingface-api", {"base_url": None}, 384),
        ("clarifai", {}, 768),
        ("together", {}, 1024),
        ("gradient", {}, 1024),
        ("ollama", {"ndims": 5}, 5),
    ],
)
def test_lengths_that_are_known_ask_nobody(function: str, settings: Mapping[str, Any], ndims: int) -> None:
    assert make(function, **{"base_url": "http://127.0.0.1:1", **settings}).ndims() == ndims


@pytest.mark.parametrize(
    ("name", "settings"),
    [("cohere", {"batch_size": 97}), ("gemini-text", {"batch_size": 101}), ("openai", {"batch_size": 2049})],
)
def test_more_inputs_than_a_service_takes_are_refused_at_once(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="batch_size"):
        make(name, **settings)


@pytest.mark.filterwarnings("ignore:Google's PaLM API is gone:FutureWarning")
def test_every_remote_function_says_what_it_is() -> None:
    for name in get_registry().names():
        cls = get_registry().get(name)
        if issubclass(cls, RemoteTextFunction):
            embedded = ("text", "image") if issubclass(cls, RemoteImageFunction) else ("text",)
            assert (cls.description.runs, cls.description.modalities) == ("remote", embedded)
            assert cls.description.extra
            assert cls.description.limits
            if cls.description.ndims:
                assert cls.description.ndims == make(name).ndims()
            assert cls.__doc__


def test_where_and_how_a_service_is_asked_is_no_part_of_a_vector() -> None:
    one = make("openai", base_url="http://127.0.0.1:1", organization="a", api_key="$var:A:x", ndims=1536)
    other = make("openai", base_url="http://127.0.0.1:2", project="b", encoding_format="float", timeout_s=1.0)
    assert one.shaping_settings() == other.shaping_settings()
    assert one.shaping_settings() != make("openai", name="text-embedding-3-small").shaping_settings()


class TestOpenAI:
    def test_lengths_and_identity_are_sent(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("A_KEY", KEY)
        server = serve(wire.OpenAI())
        function = make(
            "openai",
            name="text-embedding-3-small",
            dim=4,
            api_key="$var:A_KEY",
            base_url=server.url,
            organization="org",
            project="proj",
            default_headers={"x-team": "search"},
        )
        assert np.array(embed_sources(function, ["a"])).shape == (1, 4)
        sent = server.calls[0]
        assert (sent.body["dimensions"], sent.body["encoding_format"]) == (4, "base64")
        assert (sent.headers["openai-organization"], sent.headers["openai-project"]) == ("org", "proj")
        assert sent.headers["x-team"] == "search"

    def test_ada_is_not_told_a_length(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        server = serve(wire.OpenAI())
        with pytest.raises(EmbeddingError, match="1536"):  # the server answers shorter vectors
            embed_sources(make("openai", dim=4, base_url=server.url), ["a"])
        assert "dimensions" not in server.calls[0].body

    def test_openai_itself_wants_a_key(self) -> None:
        with pytest.raises(EmbeddingFunctionUnavailable, match="OPENAI_API_KEY"):
            embed_sources(make("openai"), ["a"])

    def test_a_server_of_ones_own_needs_no_key(self, serve: Any) -> None:
        server = serve(wire.OpenAI(), key=None)
        function = make("openai", name="my-model", base_url=server.url, encoding_format="float")
        np.testing.assert_allclose(embed_query(function, "a"), vector("a"), rtol=1e-6)
        assert server.calls[0].body["encoding_format"] == "float"

    @pytest.mark.parametrize(
        "refusal",
        [
            {"headers": {"x-should-retry": "false"}},
            {"body": {"error": {"message": "no credit", "code": "insufficient_quota"}}},
        ],
        ids=["x-should-retry", "insufficient_quota"],
    )
    def test_a_429_that_will_not_pass_is_final(
        self, serve: Any, monkeypatch: pytest.MonkeyPatch, refusal: dict[str, Any]
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        server = serve(wire.OpenAI())
        server.failures.append(Failure(429, **refusal))
        with pytest.raises(EmbeddingError):
            embed_sources(make("openai", base_url=server.url), ["a"])
        assert len(server.calls) == 1

    def test_a_wait_in_milliseconds_is_kept(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        server = serve(wire.OpenAI())
        server.failures.append(Failure(429, {"retry-after-ms": "7"}))
        assert embed_query(make("openai", base_url=server.url, ndims=NDIMS, name="m"), "a") is not None
        assert len(server.calls) == 2


class TestAzure:
    def test_both_styles_of_urls(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
        server = serve(wire.Azure())
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url)
        embed_sources(make("azure-openai", name="dep", ndims=NDIMS), ["a"])
        embed_sources(make("azure-openai", name="dep", ndims=NDIMS, api_version="v1"), ["a"])
        assert [call.path for call in server.calls] == [
            "/openai/deployments/dep/embeddings?api-version=2024-10-21",
            "/openai/v1/embeddings",
        ]
        assert server.calls[0].headers["api-key"] == KEY
        assert server.calls[1].headers["authorization"] == f"Bearer {KEY}"

    @pytest.mark.parametrize("api_version", [None, "v1"])
    def test_a_token_in_place_of_a_key(
        self, serve: Any, monkeypatch: pytest.MonkeyPatch, api_version: str | None
    ) -> None:
        monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", KEY)
        server = serve(wire.Azure())
        chosen = {"api_version": api_version} if api_version else {}
        function = make("azure-openai", name="dep", ndims=NDIMS, azure_endpoint=server.url, **chosen)
        embed_sources(function, ["a"])
        assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"

    def test_tokens_of_the_machines_identity(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        identity = ModuleType("azure.identity")
        identity.DefaultAzureCredential = lambda: "credential"  # type: ignore[attr-defined]  # a stand-in for the package
        identity.get_bearer_token_provider = lambda credential, scope: lambda: KEY  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "azure.identity", identity)
        server = serve(wire.Azure())
        embed_sources(make("azure-openai", name="d", ndims=NDIMS, azure_endpoint=server.url, use_entra_id=True), ["a"])
        assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"

    def test_a_missing_endpoint_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
        with pytest.raises(EmbeddingFunctionUnavailable, match="AZURE_OPENAI_ENDPOINT"):
            embed_sources(make("azure-openai", name="dep"), ["a"])


class TestGemini:
    @pytest.fixture
    def server(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> WireServer:
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        server: WireServer = serve(wire.Gemini())
        return server

    def test_the_first_generation_has_task_types_and_titles(self, server: WireServer) -> None:
        function = make("gemini-text", base_url=server.url, dim=NDIMS, title="Manual")
        embed_sources(function, ["a", "b"])
        sent = server.calls[0].body["requests"][1]
        assert (sent["taskType"], sent["title"], sent["outputDimensionality"]) == (
            "RETRIEVAL_DOCUMENT",
            "Manual",
            NDIMS,
        )

    def test_the_second_generation_reads_its_task_in_the_text(self, server: WireServer) -> None:
        function = make("gemini-text", name="gemini-embedding-2", base_url=server.url, dim=NDIMS)
        embed_sources(function, ["a", "b"])
        embed_query(function, "c")
        assert server.texts == [["title: none | text: a", "title: none | text: b"], ["task: search result | query: c"]]
        assert [server.protocol.role(call) for call in server.calls] == [None, None]

    def test_vectors_are_of_unit_length_unless_left_alone(self, server: WireServer) -> None:
        texts = ["a", "b"]
        scaled = embed_sources(make("gemini-text", base_url=server.url, dim=NDIMS), texts)
        np.testing.assert_allclose(np.linalg.norm(np.array(scaled), axis=1), 1.0, rtol=1e-6)
        raw = embed_sources(make("gemini-text", base_url=server.url, dim=NDIMS, normalize=False), texts)
        np.testing.assert_allclose(np.array(raw), [vector(text) for text in texts], rtol=1e-6)

    def test_the_wait_in_the_body_is_kept(self, server: WireServer, caplog: pytest.LogCaptureFixture) -> None:
        server.failures.append(Failure(429))
        embed_query(make("gemini-text", base_url=server.url, dim=NDIMS, first_wait_s=5.0, max_wait_s=9.0), "a")
        assert "try 2 of 8 in 0.0 s" in caplog.text

    @pytest.mark.parametrize("name", ["gemini-embedding-001", "text-embedding-005"])
    def test_vertex(self, name: str, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        google_auth = importlib.import_module("google.auth")
        credentials = google_auth.credentials.AnonymousCredentials()
        credentials.token = KEY
        monkeypatch.setattr(
            credentials, "apply", lambda headers, token=None: headers.update(authorization=f"Bearer {KEY}")
        )
        monkeypatch.setattr(google_auth, "default", lambda *_, **__: (credentials, "p"))
        server = serve(wire.Gemini())
        function = make(
            "gemini-text",
            name=name,
            base_url=server.url,
            dim=NDIMS,
            vertexai=True,
            project="p",
            location="europe-west1",
        )
        for texts in (["a"], ["a", "b"]):
            vectors = embed_sources(function, texts)
            assert np.array(vectors).shape == (len(texts), NDIMS)
        assert all("/projects/p/locations/europe-west1/publishers/google/models/" in c.path for c in server.calls)
        assert server.protocol.role(server.calls[0]) == "RETRIEVAL_DOCUMENT"

    def test_a_model_that_its_package_does_not_reach_is_refused(self) -> None:
        with pytest.raises(SchemaError, match="'vertex-multimodal'"):
            make("gemini-text", name="multimodalembedding@001", vertexai=True)

    def test_palm_is_gemini_and_says_so(self, server: WireServer) -> None:
        with pytest.warns(FutureWarning, match="PaLM API is gone"):
            function = make("palm", base_url=server.url, dim=NDIMS)
        assert isinstance(function, PaLMText)
        assert embed_query(function, "a").shape == (NDIMS,)


@pytest.fixture(scope="module")
def private_key() -> str:
    rsa = importlib.import_module("cryptography.hazmat.primitives.asymmetric.rsa")
    forms = importlib.import_module("cryptography.hazmat.primitives.serialization")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem: bytes = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    return pem.decode()


class TestVertex:
    @pytest.fixture
    def server(self, serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str) -> WireServer:
        """A server whose own tokens are made for the credentials that google-auth finds."""
        server: WireServer = serve(wire.Vertex())
        account = {
            "type": "service_account",
            "project_id": "of-the-account",
            "private_key_id": "1",
            "private_key": private_key,
            "client_email": "robot@of-the-account.iam.gserviceaccount.com",
            "token_uri": f"{server.url}/token",
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        return server

    def test_credentials_are_turned_into_a_token_that_is_kept_to_itself(self, server: WireServer) -> None:
        function = make("vertex-multimodal", dim=128, base_url=server.url, max_concurrency=1)
        vectors = embed_sources(function, ["a", "b"])
        np.testing.assert_allclose(np.array(vectors), [vector("a", 128), vector("b", 128)], rtol=1e-6)
        assert [request.path for request in server.requests].count("/token") == 1
        [call, _] = server.calls
        assert call.path == (
            "/v1/projects/of-the-account/locations/us-central1/publishers/google/models/multimodalembedding@001:predict"
        )
        assert call.body["parameters"] == {"dimension": 128}
        assert KEY not in repr(function) + str(function.stored()) + str(pickle.dumps(function))

    def test_a_token_that_ran_out_is_renewed(self, server: WireServer) -> None:
        server.failures.append(Failure(401))
        assert embed_query(make("vertex-multimodal", dim=128, base_url=server.url), "a").shape == (128,)
        assert [request.path for request in server.requests].count("/token") == 2

    def test_a_refused_token_is_not_shown(self, server: WireServer) -> None:
        server.key = "another"
        with pytest.raises(EmbeddingError, match="invalid api key") as caught:
            embed_query(make("vertex-multimodal", dim=128, base_url=server.url), "a")
        assert KEY not in str(caught.value)
        assert server.calls == []

    def test_credentials_that_are_not_renewed_are_final(
        self, server: WireServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wire.Vertex, "token_reply", {"error": "invalid_grant"})
        monkeypatch.setattr(wire.Vertex, "token_status", 400)
        with pytest.raises(EmbeddingError, match="invalid_grant"):
            embed_query(make("vertex-multimodal", dim=128, base_url=server.url), "a")
        assert len(server.requests) == 1

    def test_what_is_missing_is_named(self, server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VERTEX_TOKEN", KEY)
        with pytest.raises(EmbeddingFunctionUnavailable, match="GOOGLE_CLOUD_PROJECT"):
            embed_query(make("vertex-multimodal", dim=128, base_url=server.url, access_token="$var:VERTEX_TOKEN"), "a")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/gone.json")
        with pytest.raises(EmbeddingError, match=r"/gone\.json was not found"):
            embed_query(make("vertex-multimodal", dim=128, base_url=server.url), "a")
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        monkeypatch.setenv("CLOUDSDK_CONFIG", "/gone")
        with pytest.raises(EmbeddingFunctionUnavailable, match="GOOGLE_APPLICATION_CREDENTIALS"):
            embed_query(make("vertex-multimodal", dim=128, base_url=server.url), "a")
        assert server.requests == []

    def test_a_text_that_would_be_cut_off_in_silence_is_not_sent(self, server: WireServer) -> None:
        words = "a picture of a red car in the rain " * 4
        with pytest.raises(InputTooLong) as caught:
            embed_sources(make("vertex-multimodal", dim=128, base_url=server.url), [words])
        assert (caught.value.limit, server.calls) == (32, [])
        [mean] = embed_sources(make("vertex-multimodal", dim=128, base_url=server.url, on_long="mean"), [words])
        assert mean is not None
        assert len(server.calls) == 2
        embed_sources(make("vertex-multimodal", dim=128, base_url=server.url, max_input_tokens=64), [words])
        assert server.texts[-1] == [words]

    def test_the_wait_in_the_body_is_kept(self, server: WireServer, caplog: pytest.LogCaptureFixture) -> None:
        server.failures.append(Failure(429))
        embed_query(make("vertex-multimodal", dim=128, base_url=server.url, first_wait_s=5.0, max_wait_s=9.0), "a")
        assert "try 2 of 8 in 0.0 s" in caplog.text

    def test_who_asks_and_where_is_no_part_of_a_vector(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VERTEX_TOKEN", KEY)
        known = fingerprint(make("vertex-multimodal"))
        elsewhere = {"project": "p", "location": "europe-west4", "access_token": "$var:VERTEX_TOKEN"}
        assert fingerprint(make("vertex-multimodal", **elsewhere)) == known
        assert fingerprint(make("vertex-multimodal", dim=128)) != known

    @pytest.mark.parametrize("dim", [64, 1024])
    def test_lengths_that_the_model_does_not_have_are_refused(self, dim: int) -> None:
        with pytest.raises(SchemaError, match="128, 256, 512 or 1408"):
            make("vertex-multimodal", dim=dim)


class TestBedrock:
    @pytest.fixture
    def server(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> WireServer:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        server: WireServer = serve(wire.Bedrock())
        return server

    def test_requests_are_as_large_as_the_model_takes_them(self, server: WireServer) -> None:
        assert make("bedrock-text").batch_size == 1
        assert make("bedrock-text", name="us.cohere.embed-v4:0").batch_size == 96
        assert make("bedrock-text", name="us.cohere.embed-v4:0", batch_size=4).batch_size == 4

    def test_calls_of_one_text_are_under_way_together(self, server: WireServer) -> None:
        barrier = threading.Barrier(4, timeout=10)
        answer = server.answer
        server.answer = lambda request: (barrier.wait(), answer(request))[1]  # type: ignore[method-assign]
        embed_sources(make("bedrock-text", base_url=server.url, ndims=NDIMS, max_concurrency=4), list("abcd"))
        assert len(server.calls) == 4

    @pytest.mark.parametrize(
        ("name", "sent"),
        [
            ("amazon.titan-embed-text-v1", {"inputText": "a"}),
            ("amazon.titan-embed-text-v2:0", {"inputText": "a", "dimensions": NDIMS}),
            (
                "cohere.embed-v4:0",
                {"texts": ["a"], "input_type": "search_document", "output_dimension": NDIMS, "truncate": "NONE"},
            ),
        ],
    )
    def test_bodies(self, name: str, sent: dict[str, Any], server: WireServer) -> None:
        shape = {"ndims": NDIMS} if name.endswith("v1") else {"dim": NDIMS}
        embed_sources(make("bedrock-text", name=name, base_url=server.url, **shape), ["a"])
        assert server.calls[0].body == sent
        assert server.calls[0].path == f"/model/{name}/invoke"

    def test_nova_is_told_what_a_query_looks_for(self, server: WireServer) -> None:
        nova = {"name": "amazon.nova-2-multimodal-embeddings-v1:0", "base_url": server.url, "dim": NDIMS}
        for given in ({}, {"source_input_type": "CLUSTERING", "query_input_type": "TEXT_RETRIEVAL"}):
            embed_sources(make("bedrock-text", **nova, **given), ["a"])
            embed_query(make("bedrock-text", **nova, **given), "b")
        told = [server.protocol.role(call) for call in server.calls]
        assert told == ["GENERIC_INDEX", "GENERIC_RETRIEVAL", "CLUSTERING", "TEXT_RETRIEVAL"]

    def test_a_role_is_taken_on(self, server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        role = "arn:aws:iam::123456789012:role/embedder"
        function = make(
            "bedrock-text",
            base_url=server.url,
            ndims=NDIMS,
            assumed_role=role,
            role_session_name="s1",
            region="eu-west-1",
        )
        embed_sources(function, ["a"])
        asked = server.requests[0].body
        assert "RoleSessionName=s1" in asked
        assert "role%2Fembedder" in asked
        assert server.calls[0].headers["x-amz-security-token"] == "role-token"
        assert "Credential=ROLE/" in server.calls[0].headers["authorization"]
        assert "/eu-west-1/bedrock/" in server.calls[0].headers["authorization"]

    def test_a_profile_is_used(self, server: WireServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
        path = tmp_path / "credentials"
        path.write_text(f"[embedder]\naws_access_key_id = {KEY}\naws_secret_access_key = s\n")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
        embed_sources(make("bedrock-text", base_url=server.url, ndims=NDIMS, profile_name="embedder"), ["a"])
        assert len(server.calls) == 1

    def test_a_model_that_fails_by_itself_is_not_asked_again(self, server: WireServer) -> None:
        server.failures.append(Failure(424))
        with pytest.raises(EmbeddingError):
            embed_sources(make("bedrock-text", base_url=server.url, ndims=NDIMS), ["a"])
        assert len(server.calls) == 1


class TestOthers:
    def test_jina_tasks_can_be_chosen_and_left_out(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JINAAI_API_KEY", KEY)
        server = serve(wire.Jina())
        settings = {"name": "jina-embeddings-v3", "base_url": server.url, "dim": NDIMS}
        embed_sources(make("jina", source_task="text-matching", late_chunking=True, **settings), ["a"])
        embed_sources(make("jina", source_task="", **settings), ["a"])
        assert server.calls[0].body["task"] == "text-matching"
        assert (server.calls[0].body["late_chunking"], server.calls[0].body["dimensions"]) == (True, NDIMS)
        assert "task" not in server.calls[1].body

    def test_passwords_of_netrc_are_not_sent(self, serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password mine\n")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("JINA_API_KEY", KEY)
        server = serve(wire.Jina())
        embed_sources(make("jina", base_url=server.url, dim=NDIMS), ["a"])
        assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"

    def test_ollama_passes_its_options_on(self, serve: Any) -> None:
        server = serve(wire.Ollama())
        embed_sources(
            make(
                "ollama",
                host=server.url,
                options={"num_ctx": 512},
                keep_alive="5m",
                dim=NDIMS,
                ollama_client_kwargs={"headers": {"x-team": "search"}},
            ),
            ["a"],
        )
        sent = server.calls[0]
        assert (sent.body["options"], sent.body["keep_alive"], sent.body["dimensions"]) == (
            {"num_ctx": 512},
            "5m",
            NDIMS,
        )
        assert sent.headers["x-team"] == "search"

    def test_ollama_that_does_not_run_is_tried_again(self) -> None:
        with pytest.raises(EmbeddingError, match="3 times"):
            embed_sources(make("ollama", host="http://127.0.0.1:1", ndims=4, max_retries=2), ["a"])

    def test_tei_with_another_model_is_not_taken(self, serve: Any) -> None:
        server = serve(wire.TEI(), key=None)
        with pytest.raises(EmbeddingFunctionUnavailable, match=r"'wire/model', not 'BAAI/bge-m3'"):
            embed_sources(make("tei", name="BAAI/bge-m3", base_url=server.url, ndims=NDIMS), ["a"])

    def test_hugging_faces_router(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants
        from huggingface_hub.inference._providers import get_provider_helper

        monkeypatch.setenv("HF_TOKEN", KEY)
        server = serve(wire.HuggingFace())
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        route = get_provider_helper("hf-inference", "feature-extraction", "me/my-model")
        monkeypatch.setattr(route, "base_url", f"{server.url}/hf-inference")
        function = make("huggingface-api", name="me/my-model", normalize=True)
        np.testing.assert_allclose(embed_query(function, "a"), vector("a"), rtol=1e-6)
        assert function.ndims() == NDIMS
        assert server.calls[0].path == "/hf-inference/models/me/my-model/pipeline/feature-extraction"
        assert server.calls[0].body["normalize"] is True

    def test_watsonx_makes_one_token_of_its_key(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATSONX_API_KEY", KEY)
        server = serve(wire.Watsonx())
        monkeypatch.setenv("WATSONX_PROJECT_ID", "p1")
        function = make("watsonx", url=server.url, iam_url=server.url, ndims=NDIMS, params={"truncate_input_tokens": 9})
        embed_sources(function, ["a"])
        embed_sources(function, ["b"])
        assert [request.path.partition("?")[0] for request in server.requests].count("/identity/token") == 1
        assert server.calls[0].body["parameters"] == {"truncate_input_tokens": 9}

    def test_watsonx_needs_a_project_or_a_space(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATSONX_API_KEY", KEY)
        with pytest.raises(EmbeddingFunctionUnavailable, match="WATSONX_PROJECT_ID"):
            embed_sources(make("watsonx", base_url="http://127.0.0.1:1"), ["a"])
        with pytest.raises(SchemaError, match="not both"):
            make("watsonx", project_id="p", space_id="s")

    def test_elasticsearch_logs_in_with_a_password(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ES_PASSWORD", "pw")
        server = serve(wire.Elasticsearch(), key="Basic ZWxhc3RpYzpwdw==")
        function = make(
            "elasticsearch", name="e5", hosts=server.url, ndims=NDIMS, username="elastic", password="$var:ES_PASSWORD"
        )
        embed_sources(function, ["a"])
        assert server.calls[0].path.startswith("/_inference/text_embedding/e5")

    def test_clarifai_models_have_short_names(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLARIFAI_PAT", KEY)
        server = serve(wire.Clarifai())
        function = make("clarifai", name="clarifai/main/BAAI-bge-base-en", base_url=server.url)
        assert function.ndims() == 768
        with pytest.raises(EmbeddingError, match="768"):
            embed_sources(function, ["a"])
        assert server.calls[0].body["model"] == "https://clarifai.com/clarifai/main/models/BAAI-bge-base-en"


def test_a_subclass_with_its_own_ways_gets_its_prompts() -> None:
    class Shouting(RemoteTextFunction):
        name: str = "shout"
        seen: list[list[str]] = []  # noqa: RUF012 - a pydantic field

        def _embed(self, texts: list[str], role: Any) -> Any:
            self.seen.append(texts)
            return [vector(text) for text in texts]

        def compute_source_embeddings(self, texts: Any, /) -> Any:
            return self._embed([text.upper() for text in texts], "source")

    function = Shouting(stated_ndims=NDIMS, source_prompt="p: ", query_prompt="q: ")
    embed_sources(function, ["a"])
    embed_query(function, "b")
    assert function.seen == [["P: A"], ["q: b"]]
