"""Embeddings of texts and images by the models that AWS Bedrock serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.loading import Loaded
from lancelike.embeddings.providers.remote import Model, made_once, without_none
from lancelike.embeddings.providers.remote_images import RemoteImageFunction, data_uri, in_base64
from lancelike.errors import VariableNotFoundError
from lancelike.media.formats import mime_type

COHERE_TEXTS = 96
"""Most texts in one call of Cohere's models; the others take one."""
NOVA_PURPOSES: Mapping[str, str] = {"search_document": "GENERIC_INDEX", "search_query": "GENERIC_RETRIEVAL"}
"""What Nova is told of stored inputs and of queries where Cohere's models are told this. A query's purpose names what
is searched, not the query's modality, and the generic one finds all."""
GEOGRAPHIES = ("us", "us-gov", "eu", "apac", "jp", "au", "ca", "global")
"""Prefixes of inference profiles, which spread the calls of one model over regions."""


IMAGE_BYTES = 5_000_000
"""Most bytes of an image by default: the least that a model here takes."""


class BedRockText(RemoteImageFunction):
    """Embeddings from AWS Bedrock: Amazon's Titan and Nova, and Cohere's models.

    The models of Amazon take one input a call, which is why many calls are under way at once. Titan's image model, Nova
    and Cohere's models take images as well as texts, Cohere's v3 one a call.

    Attributes:
        name: Id of the model, or of an inference profile, with or without a prefix like `us.`, or its ARN.
        region: AWS's region.
        assumed_role: ARN of a role to take on first, as of another account.
        profile_name: Profile of the AWS configuration.
        role_session_name: Name of the session under `assumed_role`.
        source_input_type: What inputs that are stored are for, to Cohere's models, and Nova: `"GENERIC_INDEX"` to it,
            unless another is given.
        query_input_type: What inputs that are searched for are for, to Cohere's models, and Nova:
            `"GENERIC_RETRIEVAL"` to it, unless another is given, such as `"TEXT_RETRIEVAL"` among texts alone.
        dim: Shortens the vectors of the models that can.
        batch_size: One, and 96 by default for Cohere's models.
    """

    models: ClassVar = {
        "amazon.titan-embed-text-v1": Model(1536, 8192),
        "amazon.titan-embed-g1-text-02": Model(1536, 8192),
        "amazon.titan-embed-text-v2:0": Model(1024, 8192),
        "amazon.titan-embed-image-v1": Model(1024, 256),
        "amazon.nova-2-multimodal-embeddings-v1:0": Model(3072, 8192),
        "cohere.embed-english-v3": Model(1024, 512),
        "cohere.embed-multilingual-v3": Model(1024, 512),
        "cohere.embed-v4:0": Model(1536, 128_000),
    }
    image_models: ClassVar = (
        "amazon.titan-embed-image-*",
        "amazon.nova-*-multimodal-*",
        "cohere.embed-v4*",
        "cohere.embed-*-v3*",
    )
    max_request_bytes: ClassVar = 20_000_000
    extra: ClassVar = "bedrock"
    key_variables: ClassVar = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    roles: ClassVar = ("source", "query")
    limits: ClassVar = (
        "Titan and Nova take one input a call, Cohere's models 96, with 20 MB of images, v3 one image; "
        "a longer text is an error"
    )
    transport_settings: ClassVar = frozenset({"stated_ndims", "assumed_role"})

    name: str = "amazon.titan-embed-text-v1"
    batch_size: int = Field(1, ge=1, le=COHERE_TEXTS)
    max_concurrency: int = Field(8, ge=1)
    max_source_bytes: int = Field(IMAGE_BYTES, ge=1)
    region: str = "us-east-1"
    assumed_role: str | None = None
    profile_name: str | None = None
    role_session_name: str = "lancelike-embeddings"
    source_input_type: str = "search_document"
    query_input_type: str = "search_query"
    dim: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _fill_requests(self) -> Self:
        if "batch_size" not in self.model_fields_set and self._model.startswith("cohere."):
            self.batch_size = COHERE_TEXTS
            self.model_fields_set.discard("batch_size")
        return self

    def ndims(self) -> int:
        """Length of the vectors: `dim`, else that of the model, which is asked once where it isn't known."""
        return self.dim or super().ndims()

    @property
    def _model(self) -> str:
        """The model's id without account, region and geography."""
        model = self.name.rpartition("/")[2]
        first, _, rest = model.partition(".")
        return rest if first in GEOGRAPHIES else model

    def _known_ndims(self) -> int | None:
        model = self.models.get(self._model)
        return None if model is None else model.ndims

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        if self._model.startswith("cohere."):
            return self._embed_by_cohere({"texts": texts}, role)
        return self._embed_each([Loaded("text", text) for text in texts], role)

    def _embed_mixed(self, inputs: list[Loaded], role: Role) -> Embeddings:
        if not self._model.startswith("cohere."):
            return self._embed_each(inputs, role)
        if not self._model.endswith("-v3"):
            return self._embed_by_cohere({"inputs": [{"content": [_content(each)]} for each in inputs]}, role)
        texts = [each.value for each in inputs if each.modality == "text"]
        of_texts = iter(self._embed(texts, role) if texts else [])
        return [next(of_texts) if each.modality == "text" else self._embed_image(each.value) for each in inputs]

    def _embed_each(self, inputs: list[Loaded], role: Role) -> Embeddings:
        if self._model.startswith("amazon.nova"):
            return [self._embed_by_nova(each, role) for each in inputs]
        return [self._embed_by_titan(each) for each in inputs]

    def _embed_by_titan(self, loaded: Loaded) -> list[float]:
        is_image = loaded.modality == "image"
        body = {"inputImage": in_base64(loaded.value)} if is_image else {"inputText": loaded.value}
        vector: list[float] = self._invoke({**body, **self._titan_length()})["embedding"]
        return vector

    def _titan_length(self) -> dict[str, Any]:
        if "titan-embed-image" in self._model and self.dim is not None:
            return {"embeddingConfig": {"outputEmbeddingLength": self.dim}}
        return {"dimensions": self.dim}

    def _embed_by_nova(self, loaded: Loaded, role: Role) -> list[float]:
        is_image = loaded.modality == "image"
        parameters = {
            "embeddingPurpose": NOVA_PURPOSES.get(self._input_type(role), self._input_type(role)),
            "embeddingDimension": self.ndims(),
            loaded.modality: _nova_image(loaded.value)
            if is_image
            else {"truncationMode": "NONE", "value": loaded.value},
        }
        body = {
            "schemaVersion": "nova-multimodal-embed-v1",
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": parameters,
        }
        vector: list[float] = self._invoke(body)["embeddings"][0]["embedding"]
        return vector

    def _embed_by_cohere(self, inputs: dict[str, Any], role: Role) -> Embeddings:
        body = {"input_type": self._input_type(role), "output_dimension": self.dim, **inputs}
        answered = self._invoke({**body, "truncate": "NONE"})["embeddings"]
        vectors: Embeddings = answered["float"] if isinstance(answered, dict) else answered
        return vectors

    def _embed_image(self, file: bytes) -> Any:
        """One image, by a model of Cohere's third generation, which is told no more of it than that it is one."""
        [vector] = self._embed_by_cohere({"images": [data_uri(file)], "input_type": "image"}, "source")
        return vector

    def _input_type(self, role: Role) -> str:
        return self.source_input_type if role == "source" else self.query_input_type

    def _invoke(self, body: dict[str, Any]) -> Any:
        reply = self._client.invoke_model(
            modelId=self.name,
            body=json.dumps(without_none(body)),
            accept="application/json",
            contentType="application/json",
        )
        return json.loads(reply["body"].read())

    @made_once
    def _client(self) -> Any:
        config = self._require("botocore.config")
        settings = config.Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            read_timeout=self.timeout_s,
            connect_timeout=self.timeout_s,
            max_pool_connections=self.max_concurrency,
        )
        return self._session().client("bedrock-runtime", endpoint_url=self.base_url, config=settings)

    def _session(self) -> Any:
        boto3 = self._require("boto3")
        session = boto3.Session(profile_name=self.profile_name, region_name=self.region)
        if session.get_credentials() is None and not self._variable("AWS_BEARER_TOKEN_BEDROCK"):
            raise VariableNotFoundError("AWS_ACCESS_KEY_ID")
        if self.assumed_role is None:
            return session
        taken_on = self._require("botocore.session").get_session()
        taken_on._credentials = self._role_credentials(session)
        return boto3.Session(botocore_session=taken_on, region_name=self.region)

    def _role_credentials(self, session: Any) -> Any:
        """Credentials of the role, which botocore asks for when first needed, and again before they run out."""
        credentials = self._require("botocore.credentials")
        fetcher = credentials.AssumeRoleCredentialFetcher(
            client_creator=session._session.create_client,
            source_credentials=session.get_credentials(),
            role_arn=self.assumed_role,
            extra_args={"RoleSessionName": self.role_session_name},
        )
        return credentials.DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")


def _content(loaded: Loaded) -> dict[str, str]:
    if loaded.modality == "image":
        return {"type": "image_url", "image_url": data_uri(loaded.value)}
    return {"type": "text", "text": loaded.value}


def _nova_image(file: bytes) -> dict[str, Any]:
    image_format = mime_type(file).partition("/")[2]
    return {"format": image_format, "detailLevel": "STANDARD_IMAGE", "source": {"bytes": in_base64(file)}}
