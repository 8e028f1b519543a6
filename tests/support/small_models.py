"""Small models with random weights, written to folders as any other model is.

All weights are random, norms and biases included, so a tensor in the wrong place shows.
"""

from libraries import library

from kvasir.testing.embedders import TEXTS

torch = library("torch", extra="torch")
transformers = library("transformers", extra="torch")
sentence_transformers = library("sentence_transformers", extra="torch")
tokenizers = library("tokenizers")
modules = library("sentence_transformers.sentence_transformer.modules", extra="torch")

VOCABULARY = 400
SPECIAL = {
    False: ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"),
    True: ("<s>", "</s>", "<pad>", "<unk>", "<mask>"),
}


def write_encoder(folder, architecture):
    """Writes config, random weights and a trained tokenizer of 400 pieces."""
    roberta = architecture not in ("bert", "distilbert")
    names = dict(zip(("cls", "sep", "pad", "unk", "mask"), SPECIAL[roberta], strict=True))
    core = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=names["unk"]))
    core.normalizer = tokenizers.normalizers.NFKC()
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.train_from_iterator(
        TEXTS,
        tokenizers.trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            # RoBERTa's padding token is number 1, BERT's number 0.
            special_tokens=[names[key] for key in ("cls", "pad", "sep", "unk", "mask")]
            if roberta
            else [names[key] for key in ("pad", "unk", "cls", "sep", "mask")],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    core.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{names['cls']} $A {names['sep']}",
        special_tokens=[(names[key], core.token_to_id(names[key])) for key in ("cls", "sep")],
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=64,
        **{f"{key}_token": value for key, value in names.items()},
    )
    fast.save_pretrained(folder)
    size = len(fast)
    pad = core.token_to_id(names["pad"])
    if architecture == "distilbert":
        config = transformers.DistilBertConfig(
            vocab_size=size, dim=32, n_layers=2, n_heads=4, hidden_dim=64, pad_token_id=pad
        )
    else:
        config = transformers.AutoConfig.for_model(
            architecture,
            vocab_size=size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=70,
            type_vocab_size=1 if roberta else 2,
            pad_token_id=pad,
        )
    torch.manual_seed(7)
    model = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(torch.randn_like(tensor) * 0.2 + (1.0 if "Norm.weight" in name else 0.0))
    model.save_pretrained(folder)


def write_sentence_model(root, architecture, pooling, prompts=None):
    """Writes a sentence-transformers model and returns its folder."""
    encoder, folder = root / "encoder", root / f"{architecture}-{pooling}"
    write_encoder(encoder, architecture)
    transformer = modules.Transformer(str(encoder), max_seq_length=60)
    model = sentence_transformers.SentenceTransformer(
        modules=[transformer, modules.Pooling(32, pooling_mode=pooling), modules.Normalize()],
        device="cpu",
        prompts=prompts,
    )
    model.save(str(folder), create_model_card=False)
    return folder
