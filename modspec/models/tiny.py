"""Random encoders for tests: 3 layers x 4 heads, hidden size 16, bytes as word pieces, no files.

``tiny`` is an XLM-R, ``tiny-bert`` a BERT with token types. Both take any text in any language,
have <s> <pad> </s> <unk> at ids 0-3 as XLM-R does, and always the same weights.
"""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
)

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


def tiny_model(name: str, num_labels: int, attention: str) -> PreTrainedModel:
    """The classifier; seeds the global random state, which the caller protects."""
    config = tiny_config(name)
    config.num_labels = num_labels
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    # Drawn apart from the head, whose size would otherwise change the encoder.
    torch.default_generator.manual_seed(SEED)
    encoder = AutoModel.from_config(config)
    model.base_model.load_state_dict(encoder.state_dict(), strict=False)
    return model


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
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
    )
