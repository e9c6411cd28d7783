"""The functions that come with lancelike."""

from __future__ import annotations

from collections.abc import Mapping

PROVIDERS = "lancelike.embeddings.providers"
BUILT_IN: Mapping[str, str] = {
    "hash": f"{PROVIDERS}.hash:HashEmbeddings",
    "sentence-transformers": f"{PROVIDERS}.sentence_transformers:SentenceTransformerEmbeddings",
    "onnx": f"{PROVIDERS}.onnx:OnnxEmbeddings",
    "default": f"{PROVIDERS}.default:DefaultEmbeddings",
    "model2vec": f"{PROVIDERS}.model2vec:Model2VecEmbeddings",
    "instructor": f"{PROVIDERS}.instructor:InstructorEmbeddingFunction",
    "huggingface": f"{PROVIDERS}.transformers:TransformersEmbeddingFunction",
    "colbert": f"{PROVIDERS}.transformers:ColbertEmbeddings",
    "gte-text": f"{PROVIDERS}.gte:GteEmbeddings",
    "open-clip": f"{PROVIDERS}.open_clip:OpenClipEmbeddings",
    "clip": f"{PROVIDERS}.clip:ClipEmbeddings",
    "siglip": f"{PROVIDERS}.siglip:SigLipEmbeddings",
    "colpali": f"{PROVIDERS}.colpali:ColPaliEmbeddings",
    "clap": f"{PROVIDERS}.clap:ClapEmbeddings",
    "embeddinggemma": f"{PROVIDERS}.embeddinggemma:EmbeddingGemmaEmbeddings",
    "imagebind": f"{PROVIDERS}.imagebind:ImageBindEmbeddings",
    "langchain": "lancelike.embeddings.adapters:LangChainFunction",
    "llama-index": "lancelike.embeddings.adapters:LlamaIndexFunction",
    "callable": "lancelike.embeddings.adapters:CallableFunction",
    "azure-openai": f"{PROVIDERS}.openai:AzureOpenAIEmbeddings",
    "bedrock-text": f"{PROVIDERS}.bedrock:BedRockText",
    "clarifai": f"{PROVIDERS}.clarifai:ClarifaiEmbeddings",
    "cohere": f"{PROVIDERS}.cohere:CohereEmbeddingFunction",
    "elasticsearch": f"{PROVIDERS}.elasticsearch:ElasticsearchEmbeddings",
    "gemini-text": f"{PROVIDERS}.gemini:GeminiText",
    "gradient": f"{PROVIDERS}.gradient:GradientEmbeddings",
    "huggingface-api": f"{PROVIDERS}.huggingface_api:HuggingFaceAPIEmbeddings",
    "jina": f"{PROVIDERS}.jina:JinaEmbeddings",
    "llmrails": f"{PROVIDERS}.llmrails:LLMRailsEmbeddings",
    "mistral": f"{PROVIDERS}.mistral:MistralEmbeddings",
    "nomic": f"{PROVIDERS}.nomic:NomicEmbeddings",
    "ollama": f"{PROVIDERS}.ollama:OllamaEmbeddings",
    "openai": f"{PROVIDERS}.openai:OpenAIEmbeddings",
    "palm": f"{PROVIDERS}.gemini:PaLMText",
    "tei": f"{PROVIDERS}.tei:TEIEmbeddings",
    "together": f"{PROVIDERS}.openai:TogetherEmbeddings",
    "vertex-multimodal": f"{PROVIDERS}.vertex:VertexMultimodalEmbeddings",
    "voyageai": f"{PROVIDERS}.voyageai:VoyageAIEmbeddingFunction",
    "watsonx": f"{PROVIDERS}.watsonx:WatsonxEmbeddings",
}
"""Name of each function that comes with lancelike -> the module and class, imported when first asked for."""
