"""Random encoders for tests: 3 layers x 4 heads, hidden size 16, bytes as word pieces, no files.

``tiny`` is an XLM-R, ``tiny-bert`` a BERT with token types. Both take any text in any language,
have <s> <pad> </s> <unk> at ids 0-3 as XLM-R does, and always the same weights.
"""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, BertConfig, PreTrainedConfig, PreTrainedTokenizerFast, XLMRobertaConfig

from modspec.models import e5_small

TINY = {"tiny": XLMRobertaConfig, "tiny-bert": BertConfig}
SEED = 0
MAX_PIECES = 512
SPECIALS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}


def tiny_config(name: str) -> PreTrainedConfig:
    """The config of ``tiny`` or ``tiny-bert``."""
    is_bert = name == "tiny-bert"
    return TINY[name](
        vocab_size=len(SPECIALS) + 256,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=32,
        # RoBERTa-family encoders count positions from the padding id + 1.
        max_position_embeddings=MAX_PIECES if is_bert else MAX_PIECES + 2,
        type_vocab_size=2 if is_bert else 1,
        # Wide enough for the heads of so small an encoder to differ.
        initializer_range=0.2,
        bos_token_id=SPECIALS["<s>"],
        pad_token_id=SPECIALS["<pad>"],
        eos_token_id=SPECIALS["</s>"],
    )


def tiny_weights(name: str) -> dict[str, torch.Tensor]:
    """The encoder's weights; seeds the global random state, which the caller protects."""
    torch.default_generator.manual_seed(SEED)
    return AutoModel.from_config(tiny_config(name)).state_dict()


def tiny_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Bytes as word pieces, with the pair template of XLM-R or of BERT."""
    pieces = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    is_bert = name == "tiny-bert"
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1" if is_bert else "<s> $A </s> </s> $B </s>",
        special_tokens=[(token, SPECIALS[token]) for token in ("<s>", "</s>")],
    )
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=inputs if is_bert else [inputs[0], inputs[2]],
        model_max_length=MAX_PIECES,
        **{role: piece for role, piece in e5_small.SPECIALS.items() if piece in SPECIALS},
    )
