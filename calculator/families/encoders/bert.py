"""BERT (arXiv:1810.04805) and the types that keep its layers: RoBERTa, ELECTRA, ERNIE, Megatron-BERT and others."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.encoders.common import POOLED, Heads, bert_attention, bert_layer, embeddings, encoder, lm_head
from calculator.families.fields import head_shape
from calculator.families.layers import layer_norm
from calculator.families.registry import Blueprint, family
from calculator.parts import Embedding, Head, Linear, Part, Positions, VectorWeights


@family("bert", "ernie", "layoutlm")
def bert(c: Config) -> Blueprint:
    """ERNIE may add an embedding of the task; LayoutLM (arXiv:1912.13318) adds the box of each word, and pools always.

    LayoutLM's four coordinates, height and width are six lookups in four tables.
    """
    width: int = c.hidden_size
    before = embeddings(c)
    if c.flag("use_task_id"):
        before.insert(3, Positions("embeddings.task_type_embeddings", c.task_type_vocab_size, width))
    heads = Heads(c.model_type, lm_head(c))
    if c.model_type == "layoutlm":
        places: int = c.max_2d_position_embeddings
        tables = [Positions(f"embeddings.{n}_position_embeddings", places, width) for n in ("x", "y", "h", "w")]
        before[2:2] = tables
        heads = replace(heads, pooled=POOLED | {"lm", "token", "answer"})
    return encoder(c, bert_layer(c), before, heads)


@family("roc_bert")
def roc_bert(c: Config) -> Blueprint:
    """RoCBert: the sound and the shape of a character beside the character, joined by a projection."""
    width: int = c.hidden_size
    before = embeddings(c)
    sound, shape = c.pronunciation_embed_dim, c.shape_embed_dim
    before[1:1] = [
        Embedding("embeddings.pronunciation_embed", c.pronunciation_vocab_size, sound),
        Embedding("embeddings.shape_embed", c.shape_vocab_size, shape),
    ]
    if c.flag("concat_input"):
        joined = width + sound * c.flag("enable_pronunciation") + shape * c.flag("enable_shape")
        before.insert(3, Linear("embeddings.map_inputs_layer", joined, width, True))
    # Its contrastive pretraining adds no projection to the language model's.
    heads = Heads("roc_bert", lm_head(c), own={"pretraining": lm_head(c)}, unread=frozenset(("pretraining",)))
    return encoder(c, bert_layer(c), before, heads)


@family("megatron-bert")
def megatron_bert(c: Config) -> Blueprint:
    """Norms before each half and after the last layer (arXiv:1909.08053, figure 7)."""
    layer = bert_layer(c, norms=("attention.ln", "ln"), pre=True, crossed="crossattention.ln")
    final = layer_norm("encoder.ln", c.hidden_size)
    return encoder(c, layer, embeddings(c, norm=False), Heads("bert", lm_head(c)), after=(final,))


@family("bert-generation")
def bert_generation(c: Config) -> Blueprint:
    """No kinds of segment, no pooler, and a head without a projection (arXiv:1907.12461)."""
    tied = c.flag("tie_word_embeddings")
    name = "lm_head.bias" if tied else ""
    head: list[Part] = [Head("lm_head.decoder", c.vocab_size, c.hidden_size, tied=tied, bias=True, bias_name=name)]
    if not tied:
        head.append(VectorWeights("lm_head", (("bias", (c.vocab_size,)),), "head"))
    return encoder(c, bert_layer(c), embeddings(c, types=False), Heads("bert", tuple(head), pooler=""))


@family("rembert")
def rembert(c: Config) -> Blueprint:
    """RemBERT (arXiv:2010.12821): narrow input embeddings, a wide output embedding that is never tied."""
    size: int = c.input_embedding_size
    head = lm_head(c, dense="dense", norm="LayerNorm", bias=None, size=c.output_embedding_size, tied=False)
    into = Linear("encoder.embedding_hidden_mapping_in", size, c.hidden_size, True)
    return encoder(c, bert_layer(c), [*embeddings(c, size=size), into], Heads("rembert", head))


def projected(c: Config, size: int, before: list[Part]) -> list[Part]:
    """The embeddings with the projection that widens them, where they are not as wide as the layers."""
    return before if size == c.hidden_size else [*before, Linear("embeddings_project", size, c.hidden_size, True)]


@family("electra")
def electra(c: Config) -> Blueprint:
    """ELECTRA (arXiv:2003.10555): perhaps narrower embeddings; the discriminator judges every token."""
    size: int = c.embedding_size
    width: int = c.hidden_size
    head = lm_head(
        c,
        "",
        dense="generator_predictions.dense",
        norm="generator_predictions.LayerNorm",
        decoder="generator_lm_head",
        bias=None,
        size=size,
    )
    judge = (
        Linear("discriminator_predictions.dense", width, width, True, component="head"),
        Linear("discriminator_predictions.dense_prediction", width, 1, True, component="head"),
    )
    heads = Heads(
        "electra",
        head,
        pooler="",
        dense=("classifier.dense", "classifier.out_proj"),
        choice=("sequence_summary.summary", "classifier"),
        own={"pretraining": judge},
    )
    return encoder(c, bert_layer(c), projected(c, size, embeddings(c, size=size)), heads)


@family("roformer")
def roformer(c: Config) -> Blueprint:
    """RoFormer (arXiv:2104.09864): rotary positions from a stored table."""
    size: int = c.hidden_size if c.get("embedding_size") is None else c.embedding_size
    _, _, head_dim = head_shape(c)
    head = lm_head(c, size=size)
    heads = Heads("roformer", head, pooler="", dense=("classifier.dense", "classifier.out_proj"), answers=2)
    table = Embedding("encoder.embed_positions", c.max_position_embeddings, head_dim)
    before = [*projected(c, size, embeddings(c, size=size, positions=0)), table]
    # The values are rotated too with rotary_value, as many elements as the keys.
    attention = bert_attention(c, rotary=head_dim * 3 // 2 if c.flag("rotary_value") else head_dim)
    return encoder(c, bert_layer(c, mixer=attention), before, heads)
