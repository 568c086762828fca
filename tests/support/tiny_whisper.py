"""A Whisper small enough to train in a test, on tones that stand for words: real layers, known answers.

It has the tokens of the published multilingual models (51,866, of which 1,501 are times) and hears thirty seconds at a
time, because CTranslate2 and faster-whisper go by both; everything else is as small as may be.
"""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

WORDS = {"はい": 440.0, "いいえ": 700.0, "会議": 1100.0, "来週": 1700.0}
RATE, WINDOW = 16_000, 30
BASE, LANGUAGES = 50_257, 100
END, START, TRANSCRIBE, TIMES = BASE, BASE + 1, BASE + 2 + LANGUAGES + 1, BASE + 2 + LANGUAGES + 6
NO_SPEECH = TIMES - 2
LANGUAGE = "ja"
SIZE = 51_866
LEARNING, POOL = 4e-3, 256


def spoken(words: list[tuple[str, float, float]], seconds: float, seed: int = 0) -> np.ndarray[Any, Any]:
    """Each (word, from, to) as its tone, over a hiss. [n] float32, -1..1."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.004, round(seconds * RATE)).astype(np.float32)
    for word, begin, end in words:
        place = slice(round(begin * RATE), round(end * RATE))
        at = np.arange(place.stop - place.start) / RATE
        samples[place] += (rng.uniform(0.2, 0.5) * np.sin(2 * np.pi * WORDS[word] * at)).astype(np.float32)
    return samples


def tokenizer_file() -> dict[str, Any]:
    """tokenizer.json: bytes, and a token for each letter of the words; the rest of the vocabulary is never used."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: n for n, token in enumerate(bytes_)}
    vocab |= {f"<unused{n}>": n for n in range(len(vocab), BASE - 1)}
    vocab[""] = BASE - 1  # by this CTranslate2 tells the multilingual models
    made = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    codes = list(_LANGUAGE_CODES)
    names = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in codes), "<|translate|>"]
    names += ["<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    names += [f"<|{n * 0.02:.2f}|>" for n in range(1501)]
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    assert made.get_vocab_size() == SIZE
    found: dict[str, Any] = json.loads(made.to_str())
    return found


def trained(folder: Path, steps: int = 600, seed: int = 1) -> Path:
    """A folder for Ears: trained, converted to CTranslate2, pinned by its ears.toml."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from faster_whisper.feature_extractor import FeatureExtractor
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    torch.manual_seed(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # many small steps: on a busy machine more threads only wait for each other
    source, target = folder / "source", folder / "ears"
    source.mkdir(parents=True)
    text = json.dumps(tokenizer_file(), ensure_ascii=False)
    tokenizer = Tokenizer.from_str(text)
    language = tokenizer.token_to_id(f"<|{LANGUAGE}|>")
    features, rng = FeatureExtractor(chunk_length=WINDOW), np.random.default_rng(seed)
    model, used = _model(tokenizer, layers=0), _used(tokenizer, language)
    place = {token: n for n, token in enumerate(used)}
    words = torch.nn.Parameter(model.proj_out.weight[used].detach().clone())
    norm = model.model.decoder.layer_norm
    inner = [p for name, p in model.model.named_parameters() if "embed_tokens" not in name]
    optimizer = torch.optim.AdamW([words, *inner], lr=LEARNING, weight_decay=0.0)
    pool = [_example(rng, features, tokenizer, language) for _ in range(POOL)]
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING * min(1.0, (step + 1) / 30) * (1 - 0.95 * step / steps)
        mels, rows = zip(*(pool[n] for n in rng.integers(0, POOL, 8)), strict=True)
        longest = max(map(len, rows))
        padded = torch.tensor([[place[t] for t in row] + [place[END]] * (longest - len(row)) for row in rows])
        wanted = torch.tensor([_wanted(row, longest, place) for row in rows])
        mel, given = torch.tensor(np.stack(mels)), words[padded[:, :-1]]
        hidden = model.model(input_features=mel, decoder_inputs_embeds=given).last_hidden_state
        logits = hidden @ words.T  # the rest of the vocabulary stays as unlikely as it is made at the end
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-100)
        loss.backward()
        norm.weight.grad[0] = norm.bias.grad[0] = 0.0
        torch.nn.utils.clip_grad_norm_([words, *inner], 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model = _whole(model, tokenizer, used, words)
    model.save_pretrained(source)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(source)
    (source / "tokenizer.json").write_text(text, encoding="utf-8")
    told = {"feature_size": 80, "sampling_rate": RATE, "hop_length": 160, "chunk_length": WINDOW, "n_fft": 400}
    (source / "preprocessor_config.json").write_text(json.dumps(told), encoding="utf-8")
    TransformersConverter(str(source), copy_files=["tokenizer.json", "preprocessor_config.json"]).convert(str(target))
    shutil.rmtree(source)
    torch.set_num_threads(threads)
    return pin(target)


def _wanted(row: list[int], longest: int, place: dict[int, int]) -> list[int]:
    """What follows each token of a row: after the first, whether anybody speaks at all; the language is given."""
    speaks = row[1] if len(row) > 5 else NO_SPEECH
    return [place[speaks], -100, *(place[token] for token in row[3:]), *[-100] * (longest - len(row))]


def _used(tokenizer: Any, language: int) -> list[int]:
    """The tokens it may ever say."""
    letters = {t for word in WORDS for t in tokenizer.encode(word, add_special_tokens=False).ids}
    return sorted({*letters, *range(TIMES, TIMES + 1501, 5), END, START, TRANSCRIBE, NO_SPEECH, language})


def _model(tokenizer: Any, layers: int) -> Any:
    """`layers` of the encoder. One number of the decoder's last norm is always 1, for _whole."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=SIZE, d_model=48, encoder_layers=layers, decoder_layers=2, encoder_attention_heads=1,
        decoder_attention_heads=2, encoder_ffn_dim=96, decoder_ffn_dim=96, num_mel_bins=80,
        max_source_positions=WINDOW * 50, max_target_positions=448, pad_token_id=END, bos_token_id=END,
        eos_token_id=END, decoder_start_token_id=START, dropout=0.0, suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config.suppress_tokens = model.generation_config.begin_suppress_tokens = []
    with torch.no_grad():
        model.model.decoder.layer_norm.weight[0], model.model.decoder.layer_norm.bias[0] = 0.0, 1.0
    return model


def _whole(trained: Any, tokenizer: Any, used: list[int], words: Any) -> Any:
    """With the one encoder layer that CTranslate2 asks for, which adds nothing: attention over 1,500 places is what
    training could not afford. Through the number that is always 1 every token never used is made very unlikely."""
    import torch

    model = _model(tokenizer, layers=1)
    model.load_state_dict(trained.state_dict(), strict=False)
    layer = model.model.encoder.layers[0]
    with torch.no_grad():
        for part in (layer.self_attn.out_proj, layer.fc2):
            part.weight.zero_()
            part.bias.zero_()
        model.proj_out.weight.zero_()
        model.proj_out.weight[:, 0] = -30.0
        model.proj_out.weight[used] = words
    return model


def pin(folder: Path, more: str = "") -> Path:
    rows = [
        f'[[files]]\nname = "{path.name}"\nsha256 = "{sha256(path.read_bytes()).hexdigest()}"\n'
        for path in sorted(folder.iterdir()) if path.name != "ears.toml"
    ]  # fmt: skip
    (folder / "ears.toml").write_text(f'compute = "float32"\nbeam = 1\n{more}\n' + "\n".join(rows), encoding="utf-8")
    return folder


def _example(rng: np.random.Generator, features: Any, tokenizer: Any, language: int) -> tuple[Any, list[int]]:
    """Log-mel features of a recording with up to four words, filled up to a window as faster-whisper does, and the
    tokens of who transcribes them with their times."""
    words, at = list[tuple[str, float, float]](), float(rng.uniform(0.1, 2.5))
    for _ in range(int(rng.integers(0, 5))):  # none in one of five: what follows the last word is silence
        end = at + float(rng.uniform(0.8, 1.2))
        words.append((str(rng.choice(list(WORDS))), at, end))
        at = end + float(rng.uniform(0.3, 1.0))
    samples = spoken(words, at + float(rng.uniform(0.0, 5.0)), int(rng.integers(1 << 30)))
    row = [START, language, TRANSCRIBE]
    for word, begin, end in words:
        row += [_time(begin), *tokenizer.encode(word, add_special_tokens=False).ids, _time(end)]
    row += [] if words else [_time(0.0)]
    mel = np.zeros((80, WINDOW * 100), np.float32)
    made = features(samples)[:, :-1]
    mel[:, : made.shape[1]] = made
    return mel, [*row, END]


def _time(seconds: float) -> int:
    """To a tenth of a second: the finer ones would only cost training."""
    return TIMES + 5 * round(seconds * 10)


def wav(samples: np.ndarray[Any, Any]) -> bytes:
    import io
    import wave

    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return made.getvalue()
