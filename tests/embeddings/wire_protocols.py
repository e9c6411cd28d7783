"""The wire formats of the providers of embeddings, one class each."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import PIL.Image

from tests.embeddings.wire import KEY, Protocol, Reply, Request, seen


def path(request: Request) -> str:
    return request.path.partition("?")[0]


class OpenAI(Protocol):
    max_inputs = 2048

    def texts(self, request: Request) -> list[str] | None:
        return list(request.body["input"]) if path(request).endswith("/embeddings") else None

    def ndims(self, request: Request) -> Any:
        return request.body.get("dimensions")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        in_base64 = request.body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": i, "embedding": encoded(vector) if in_base64 else vector}
            for i, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data[::-1], "model": request.body["model"], "usage": usage}


def encoded(vector: list[float]) -> str:
    return base64.b64encode(np.array(vector, "<f4").tobytes()).decode()


def seen_in_uri(uri: str) -> str:
    head, _, payload = uri.partition(",")
    file = base64.b64decode(payload, validate=True)
    with PIL.Image.open(io.BytesIO(file)) as image:
        assert head == f"data:{image.get_format_mimetype()};base64"
    return seen(file)


class Azure(OpenAI):
    def key(self, request: Request) -> str | None:
        return request.headers.get("api-key") or super().key(request)


class Clarifai(OpenAI):
    max_inputs = 128


def cohere_inputs(body: Any) -> list[str]:
    if "texts" in body:
        return list(body["texts"])
    if "images" in body:
        [image] = body["images"]
        assert body["input_type"] == "image"
        return [seen_in_uri(image)]
    contents = [content for item in body["inputs"] for content in item["content"]]
    assert len(contents) == len(body["inputs"])
    return [each["text"] if each["type"] == "text" else seen_in_uri(image_uri(each)) for each in contents]


def image_uri(content: Any) -> str:
    """Cohere's own service wraps it, that on Bedrock does not."""
    given = content["image_url"]
    return str(given["url"] if isinstance(given, dict) else given)


class Cohere(Protocol):
    refused_key_status = 498

    def texts(self, request: Request) -> list[str] | None:
        return cohere_inputs(request.body) if path(request) == "/v2/embed" else None

    def role(self, request: Request) -> Any:
        return request.body["input_type"]

    def ndims(self, request: Request) -> Any:
        return request.body.get("output_dimension")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        assert request.body["embedding_types"] == ["float"]
        billed = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
        return {"id": "1", "embeddings": {"float": vectors}, "texts": request.body.get("texts"), "meta": billed}

    def error(self, status: int, message: str) -> Any:
        return {"message": message}


class Gemini(Protocol):
    max_inputs = 100
    refused_key_status = 400

    def key(self, request: Request) -> str | None:
        return request.headers.get("x-goog-api-key") or super().key(request)

    def texts(self, request: Request) -> list[str] | None:
        if path(request).endswith(":predict"):
            return [item["content"] for item in request.body["instances"]]
        if path(request).endswith(":embedContent"):
            return [self._part(request.body["content"]["parts"][0])]
        if not path(request).endswith(":batchEmbedContents"):
            return None
        return ["".join(map(self._part, item["content"]["parts"])) for item in request.body["requests"]]

    def _part(self, part: Any) -> str:
        if "text" in part:
            return str(part["text"])
        inline = part["inline_data"]
        # Google's package writes these names and the alphabet of URLs, which its services read as well as JSON's own.
        data = inline["data"].translate(str.maketrans("-_", "+/"))
        return seen_in_uri(f"data:{inline['mime_type']};base64,{data}")

    def _config(self, request: Request) -> Any:
        if path(request).endswith(":predict"):
            parameters = request.body.get("parameters", {})
            return {**request.body["instances"][0], **parameters}
        if path(request).endswith(":embedContent"):
            return request.body.get("embedContentConfig", {})
        first = request.body["requests"][0]
        return {**first, **first.get("embedContentConfig", {})}

    def role(self, request: Request) -> Any:
        config = self._config(request)
        return config.get("taskType", config.get("task_type"))

    def ndims(self, request: Request) -> Any:
        config = self._config(request)
        return config.get("outputDimensionality") or config.get("output_dimensionality")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        if path(request).endswith(":predict"):
            return {"predictions": [{"embeddings": {"values": vector}} for vector in vectors]}
        if path(request).endswith(":embedContent"):
            return {"embedding": {"values": vectors[0]}}
        return {"embeddings": [{"values": vector} for vector in vectors]}

    def error(self, status: int, message: str) -> Any:
        found = {"code": status, "message": message, "status": "RESOURCE_EXHAUSTED" if status == 429 else "X"}
        wait = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.02s"}
        key = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        details = [wait] if status == 429 else [key] if "api key" in message else []
        return {"error": {**found, "details": details}}


class Vertex(Gemini):
    """The older models of Vertex AI, which embed one text or image a call, and the server that renews tokens."""

    max_inputs = 1
    refused_key_status = 401
    token_path = "/token"
    token_status = 200
    token_reply: ClassVar = {"access_token": KEY, "expires_in": 3600, "token_type": "Bearer"}

    def wants_key(self, request: Request) -> bool:
        return path(request) != self.token_path

    def texts(self, request: Request) -> list[str] | None:
        if not path(request).endswith(":predict"):
            return None
        return [self._instance(instance) for instance in request.body["instances"]]

    def _instance(self, instance: Any) -> str:
        if "text" in instance:
            return str(instance["text"])
        image = instance["image"]
        return seen_in_uri(f"data:{image['mimeType']};base64,{image['bytesBase64Encoded']}")

    def role(self, request: Request) -> Any:
        return None

    def ndims(self, request: Request) -> Any:
        return request.body.get("parameters", {}).get("dimension")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        names = ["textEmbedding" if "text" in each else "imageEmbedding" for each in request.body["instances"]]
        return {"predictions": [{name: vector} for name, vector in zip(names, vectors, strict=True)]}

    def other(self, request: Request) -> Reply:
        if path(request) != self.token_path:
            return super().other(request)
        return Reply(self.token_reply, self.token_status)


class Bedrock(Protocol):
    refused_key_status = 403
    error_names: ClassVar = {
        400: "ValidationException",
        403: "UnrecognizedClientException",
        429: "ThrottlingException",
        503: "ServiceUnavailableException",
    }

    def key(self, request: Request) -> str | None:
        found = re.search(r"Credential=([^/]+)/", request.headers.get("authorization", ""))
        return found.group(1) if found else None

    def wants_key(self, request: Request) -> bool:
        return path(request).startswith("/model/") and "x-amz-security-token" not in request.headers

    def texts(self, request: Request) -> list[str] | None:
        if not path(request).startswith("/model/"):
            return None
        body = request.body
        if "singleEmbeddingParams" in body:
            return [self._nova_input(body["singleEmbeddingParams"])]
        if "cohere" in path(request):
            return cohere_inputs(body)
        return [body["inputText"] if "inputText" in body else seen(base64.b64decode(body["inputImage"]))]

    def _nova_input(self, parameters: Any) -> str:
        if "text" in parameters:
            return str(parameters["text"]["value"])
        image = parameters["image"]
        file = base64.b64decode(image["source"]["bytes"], validate=True)
        assert seen_in_uri(f"data:image/{image['format']};base64,{image['source']['bytes']}") == seen(file)
        return seen(file)

    def role(self, request: Request) -> Any:
        body = request.body
        return body.get("input_type") or body.get("singleEmbeddingParams", {}).get("embeddingPurpose")

    def ndims(self, request: Request) -> Any:
        body = request.body
        asked = body.get("dimensions") or body.get("output_dimension")
        asked = asked or body.get("embeddingConfig", {}).get("outputEmbeddingLength")
        return asked or body.get("singleEmbeddingParams", {}).get("embeddingDimension")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        if "cohere.embed-v4" in path(request):
            return {"embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}
        if "cohere" in path(request):
            return {"embeddings": vectors, "response_type": "embeddings_floats"}
        if "nova" in path(request):
            return {"embeddings": [{"embeddingType": "TEXT", "embedding": vectors[0]}]}
        return {"embedding": vectors[0], "inputTextTokenCount": tokens}

    def error(self, status: int, message: str) -> Any:
        return {"message": message}

    def error_headers(self, status: int) -> Mapping[str, str]:
        return {"x-amzn-ErrorType": self.error_names.get(status, "InternalServerException")}

    def other(self, request: Request) -> Reply:
        """STS: credentials of the role asked for."""
        namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
        return Reply(
            f'<AssumeRoleResponse xmlns="{namespace}"><AssumeRoleResult><Credentials>'
            "<AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>role-token</SessionToken>"
            "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )


class Voyage(OpenAI):
    max_inputs = 1000

    def texts(self, request: Request) -> list[str] | None:
        if path(request).endswith("/multimodalembeddings"):
            return [self._content(item["content"]) for item in request.body["inputs"]]
        if path(request).endswith("/contextualizedembeddings"):
            return [parts[0] for parts in request.body["inputs"]]
        return super().texts(request)

    def _content(self, segments: Any) -> str:
        [segment] = segments
        return segment["text"] if segment["type"] == "text" else seen_in_uri(segment["image_base64"])

    def role(self, request: Request) -> Any:
        return request.body["input_type"]

    def ndims(self, request: Request) -> Any:
        return request.body.get("output_dimension")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        reply = super().answer(request, vectors, tokens)
        reply["usage"] |= {"text_tokens": tokens, "image_pixels": 0, "video_pixels": 0}
        reply["data"].reverse()  # the package takes them in the order in which they come
        if path(request).endswith("/contextualizedembeddings"):
            data = [
                {"object": "list", "data": [{**item, "index": 0}], "index": item["index"]} for item in reply["data"]
            ]
            return {**reply, "data": data}
        return reply

    def error(self, status: int, message: str) -> Any:
        return {"detail": message}


class Jina(OpenAI):
    def texts(self, request: Request) -> list[str] | None:
        inputs = super().texts(request)
        return None if inputs is None else [self._input(item) for item in inputs]

    def _input(self, item: Any) -> str:
        if isinstance(item, str):
            return item
        return str(item["text"]) if "text" in item else seen(base64.b64decode(item["image"], validate=True))

    def role(self, request: Request) -> Any:
        return request.body.get("task")

    def error(self, status: int, message: str) -> Any:
        return {"detail": message}


class Mistral(OpenAI):
    max_inputs = 256

    def ndims(self, request: Request) -> Any:
        return request.body.get("output_dimension")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        return {"id": "1", **super().answer(request, vectors, tokens)}

    def error(self, status: int, message: str) -> Any:
        return {"object": "error", "message": message, "type": "error", "code": "1"}


class Ollama(Protocol):
    def wants_key(self, request: Request) -> bool:
        return False

    def texts(self, request: Request) -> list[str] | None:
        return list(request.body["input"]) if path(request) == "/api/embed" else None

    def ndims(self, request: Request) -> Any:
        return request.body.get("dimensions")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        assert request.body["truncate"] is False
        return {"model": request.body["model"], "embeddings": vectors, "prompt_eval_count": tokens}

    def error(self, status: int, message: str) -> Any:
        return {"error": message}


class TEI(Protocol):
    max_inputs = 4

    def texts(self, request: Request) -> list[str] | None:
        return list(request.body["inputs"]) if path(request) == "/embed" else None

    def role(self, request: Request) -> Any:
        return request.body.get("prompt_name")

    def ndims(self, request: Request) -> Any:
        return request.body.get("dimensions")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        return vectors

    def error(self, status: int, message: str) -> Any:
        return {"error": message, "error_type": "overloaded" if status == 429 else "validation"}

    def other(self, request: Request) -> Reply:
        if path(request) != "/info":
            return super().other(request)
        limits = {"max_input_length": self.max_words, "max_client_batch_size": self.max_inputs}
        return Reply({"model_id": "wire/model", "max_batch_tokens": 16_384, "auto_truncate": False, **limits})


class HuggingFace(Protocol):
    max_inputs = 32

    def texts(self, request: Request) -> list[str] | None:
        return list(request.body["inputs"]) if request.method == "POST" else None

    def role(self, request: Request) -> Any:
        return request.body.get("prompt_name")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        return vectors

    def error(self, status: int, message: str) -> Any:
        return {"error": message}

    def other(self, request: Request) -> Reply:
        """The hub: what it says of a model and of who runs it."""
        model = path(request).removeprefix("/api/models/")
        runs = {"hf-inference": {"status": "live", "providerId": model, "task": "feature-extraction"}}
        facts = {"_id": "1", "id": model, "modelId": model, "pipeline_tag": "feature-extraction", "tags": []}
        return Reply({**facts, "inferenceProviderMapping": runs})


class HuggingFaceTokens(HuggingFace):
    """A server that doesn't pool: it answers a vector for each of three tokens."""

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        return [[[x - 1 for x in vector], vector, [x + 1 for x in vector]] for vector in vectors]


class Watsonx(Protocol):
    max_inputs = 1000
    token: ClassVar[str] = "wire-token"

    def key(self, request: Request) -> str | None:
        if path(request) == "/identity/token":
            found = re.search(r"apikey=([^&]+)", request.body)
            return found.group(1) if found else None
        return KEY if request.headers.get("authorization") == f"Bearer {self.token}" else None

    def texts(self, request: Request) -> list[str] | None:
        return list(request.body["inputs"]) if path(request) == "/ml/v1/text/embeddings" else None

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        assert request.body["project_id"] == "p1"
        results = [{"embedding": vector} for vector in vectors]
        return {"model_id": request.body["model_id"], "results": results, "input_token_count": tokens}

    def error(self, status: int, message: str) -> Any:
        return {"errors": [{"code": "x", "message": message}], "status_code": status}

    def other(self, request: Request) -> Reply:
        return Reply({"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"})


class Nomic(Protocol):
    def texts(self, request: Request) -> list[str] | None:
        return list(request.body["texts"]) if path(request).endswith("/embedding/text") else None

    def role(self, request: Request) -> Any:
        return request.body["task_type"]

    def ndims(self, request: Request) -> Any:
        return request.body.get("dimensionality")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"embeddings": vectors, "usage": usage, "model": request.body["model"]}

    def error(self, status: int, message: str) -> Any:
        return {"detail": message}


class Elasticsearch(Protocol):
    headers: ClassVar = {"X-Elastic-Product": "Elasticsearch"}

    def key(self, request: Request) -> str | None:
        return request.headers.get("authorization", "").removeprefix("ApiKey ") or None

    def texts(self, request: Request) -> list[str] | None:
        if path(request).endswith("/_infer"):
            return [doc["text_field"] for doc in request.body["docs"]]
        return list(request.body["input"]) if path(request).startswith("/_inference/") else None

    def role(self, request: Request) -> Any:
        return request.body.get("input_type")

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        if path(request).endswith("/_infer"):
            return {"inference_results": [{"predicted_value": vector} for vector in vectors]}
        return {"text_embedding": [{"embedding": vector} for vector in vectors]}

    def error(self, status: int, message: str) -> Any:
        return {"error": {"type": "x", "reason": message, "root_cause": [{"reason": message}]}, "status": status}


class Gradient(Protocol):
    max_inputs = 256

    def texts(self, request: Request) -> list[str] | None:
        assert request.headers["x-gradient-workspace-id"] == "w1"
        return [item["input"] for item in request.body["inputs"]] if "/embeddings/" in path(request) else None

    def answer(self, request: Request, vectors: list[list[float]], tokens: int) -> Any:
        return {"embeddings": [{"embedding": vector, "index": i} for i, vector in enumerate(vectors)][::-1]}


class LLMRails(OpenAI):
    def key(self, request: Request) -> str | None:
        return request.headers.get("x-api-key")
