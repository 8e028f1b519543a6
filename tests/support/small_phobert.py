"""A small model in PhoBERT's form: made byte-pair codes and vocabulary, random weights."""

import json
import random
from collections import Counter

from libraries import library

torch = library("torch", extra="torch")
transformers = library("transformers", extra="torch")
sentence_transformers = library("sentence_transformers", extra="torch")
tokenizers = library("tokenizers")
modules = library("sentence_transformers.sentence_transformer.modules", extra="torch")

_TEXT = (
    "học sinh đại Việt Nam trường thư viện mở cửa lúc tám giờ sáng trà xanh nước nóng độ và của "
    "những người được trong một cho không với là đến từ khi năm này cũng như đã sẽ phải thì rất "
    "nghiên cứu khoa công nghệ thông tin dữ liệu mô hình ngôn ngữ tiếng câu hỏi trả lời tài giáo "
    "viên bài giảng phòng thí nghiệm kỳ thi điểm số lớp môn toán lý hóa sử địa văn thể dục nhạc"
)
_SYLLABLES = _TEXT.split()
_ODD = ("Ægir", "naïve", "3,14", "(x)", "🍵", "東京", "§", "a@@b", "x</w>", "e\u0301", "1990-2026")
_SPACES = (" ", " ", " ", " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\x1c")


def sentences(count, seed=3):
    """Return made sentences of Vietnamese words, some with marks and signs that nothing knows."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        words = []
        for _ in range(chance.randint(1, 24)):
            word = "_".join(chance.choices(_SYLLABLES, k=chance.choice((1, 1, 1, 2, 2, 3))))
            if chance.random() < 0.1:
                word = word.capitalize() if chance.random() < 0.7 else word.upper()
            words.append(chance.choice(_ODD) if chance.random() < 0.05 else word)
            words.append(chance.choice(_SPACES) if chance.random() < 0.2 else " ")
        made.append("".join(words) + chance.choice((".", " .", " ?", "!", "")))
    return made


def write_phobert(folder, *, dimension=768, layers=2, entries=0, longest=64):
    """Write a sentence encoder whose tokenizer is PhoBERT's; return its folder.

    ``entries`` are those of its table of tokens, by default as many as the vocabulary has.
    """
    encoder = folder / "encoder"
    encoder.mkdir(parents=True)
    write_tokenizer(encoder)
    size = len((encoder / "vocab.txt").read_text("utf-8").splitlines()) + 5
    config = transformers.RobertaConfig(
        vocab_size=max(size, entries),
        hidden_size=dimension,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=4 * dimension,
        max_position_embeddings=longest + 2,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        tokenizer_class="PhobertTokenizer",
    )
    torch.manual_seed(5)
    transformers.RobertaModel(config).save_pretrained(encoder)
    transformers.PhobertTokenizer(
        str(encoder / "vocab.txt"), str(encoder / "bpe.codes"), model_max_length=longest
    ).save_pretrained(encoder)
    model = sentence_transformers.SentenceTransformer(
        modules=[
            modules.Transformer(str(encoder), max_seq_length=longest),
            modules.Pooling(dimension, pooling_mode="mean"),
        ],
        device="cpu",
    )
    model.save(str(folder / "model"), create_model_card=False)
    return folder / "model"


def write_tokenizer(folder):
    """Write byte-pair codes and a vocabulary, which lacks rare symbols of the codes."""
    # One kind of space, as in the files that such codes are learned from.
    texts = [" ".join(text.split()) for text in sentences(400, seed=1)]
    core = tokenizers.Tokenizer(tokenizers.models.BPE(end_of_word_suffix="</w>"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=700, end_of_word_suffix="</w>", min_frequency=2, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    core.save(str(folder / "trained.json"))
    trained = json.loads((folder / "trained.json").read_text("utf-8"))["model"]
    (folder / "trained.json").unlink()
    merges = [pair if isinstance(pair, list) else pair.split(" ") for pair in trained["merges"]]
    codes = "".join(f"{first} {second} {900 - n}\n" for n, (first, second) in enumerate(merges))
    (folder / "bpe.codes").write_text(codes, "utf-8")
    pieces = Counter()
    for text in texts:
        for symbol in core.encode(text).tokens:
            is_last = symbol.endswith("</w>")
            pieces[symbol.removesuffix("</w>") if is_last else f"{symbol}@@"] += 1
    lines = [f"{piece} {number}\n" for piece, number in pieces.most_common() if number > 2]
    (folder / "vocab.txt").write_text("".join(lines), "utf-8")
