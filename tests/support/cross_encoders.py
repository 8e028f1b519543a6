"""Small cross-encoders with random weights, written without PyTorch.

All weights are random, norms and biases included, so a tensor in the wrong place shows.
"""

import json

import numpy as np
import tokenizers
from safetensors.numpy import save_file

HIDDEN, INNER, LAYERS, HEADS, LENGTH = 32, 64, 2, 4, 64
CLASSES = {
    "bert": "BertForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
}


def write_cross_encoder(folder, texts, labels=1, architecture="bert"):
    """Writes a cross-encoder that knows the words of some texts, and returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    size = write_tokenizer(folder, texts, architecture)
    shapes = shapes_of(architecture, size, labels)
    random = np.random.default_rng(3)
    tensors = {
        name: (random.normal(0, 0.4, shape) + ("orm.weight" in name)).astype(np.float32)
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config_of(architecture, size, labels)))
    return folder


def write_tokenizer(folder, texts, architecture):
    """Writes a trained tokenizer of about 320 pieces and returns their number."""
    roberta = architecture.endswith("roberta")
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    roles = ("cls", "pad", "sep", "unk") if roberta else ("pad", "unk", "cls", "sep")
    names = dict(zip(roles, special, strict=True))
    core = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=names["unk"]))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    cls, sep = names["cls"], names["sep"]
    core.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} {sep} $B {sep}" if roberta else f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, core.token_to_id(token)) for token in (cls, sep)],
    )
    core.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": LENGTH}
    settings |= {f"{key}_token": token for key, token in names.items()}
    if architecture == "bert":
        settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return core.get_vocab_size()


def config_of(architecture, size, labels):
    roberta = architecture.endswith("roberta")
    config = {
        "model_type": architecture,
        "architectures": [CLASSES[architecture]],
        "vocab_size": size,
        "max_position_embeddings": LENGTH + 6 if roberta else LENGTH,
        "pad_token_id": int(roberta),
        "id2label": {str(number): f"LABEL_{number}" for number in range(labels)},
        "label2id": {f"LABEL_{number}": number for number in range(labels)},
    }
    if architecture == "distilbert":
        return config | {"dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER}
    return config | {
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "type_vocab_size": 1 if roberta else 2,
    }


def shapes_of(architecture, size, labels):
    """Returns the shape of each tensor by its name in transformers."""
    roberta, distilbert = architecture.endswith("roberta"), architecture == "distilbert"
    shapes = {}

    def linear(name, rows, columns):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (rows, columns), (rows,)

    def norm(name):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (HIDDEN,)

    prefix = "roberta" if roberta else architecture
    embeddings = f"{prefix}.embeddings"
    shapes[f"{embeddings}.word_embeddings.weight"] = (size, HIDDEN)
    positions = LENGTH + 6 if roberta else LENGTH
    shapes[f"{embeddings}.position_embeddings.weight"] = (positions, HIDDEN)
    if not distilbert:
        shapes[f"{embeddings}.token_type_embeddings.weight"] = (1 if roberta else 2, HIDDEN)
    norm(f"{embeddings}.LayerNorm")
    for number in range(LAYERS):
        if distilbert:
            layer = f"{prefix}.transformer.layer.{number}"
            for role in ("q_lin", "k_lin", "v_lin", "out_lin"):
                linear(f"{layer}.attention.{role}", HIDDEN, HIDDEN)
            norm(f"{layer}.sa_layer_norm")
            linear(f"{layer}.ffn.lin1", INNER, HIDDEN)
            linear(f"{layer}.ffn.lin2", HIDDEN, INNER)
            norm(f"{layer}.output_layer_norm")
            continue
        layer = f"{prefix}.encoder.layer.{number}"
        for role in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{layer}.attention.{role}", HIDDEN, HIDDEN)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", INNER, HIDDEN)
        linear(f"{layer}.output.dense", HIDDEN, INNER)
        norm(f"{layer}.output.LayerNorm")
    if roberta:
        linear("classifier.dense", HIDDEN, HIDDEN)
        linear("classifier.out_proj", labels, HIDDEN)
    else:
        first = "pre_classifier" if distilbert else f"{prefix}.pooler.dense"
        linear(first, HIDDEN, HIDDEN)
        linear("classifier", labels, HIDDEN)
    return shapes
