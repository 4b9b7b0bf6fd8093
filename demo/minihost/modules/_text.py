"""CLIP's text encoder under the key names of SD checkpoints, and prompts to token chunks: 75 each, weights, clip skip.

An encoder with CLIP's vocabulary gets CLIP's byte pairs (demo.miniature.tokenizer); in a smaller one a word's id is its hash.
"""
import functools
import re
import types
import zlib

import torch
from modules import devices, prompt_parser, shared
from torch import nn

ROOM = 75                       # tokens of a chunk between start and end
CLIP_VOCABULARY = 49408


@functools.cache
def _clip_tokenizer():
    from demo.miniature.tokenizer import WORDS, Tokenizer

    made = Tokenizer()
    return lambda text: [number for word in WORDS.findall(" ".join(text.lower().split())) for number in made.word(word)]


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, x):                                           # [B, T, C]
        q, k, v = (layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.self_attn, self.mlp = Attention(width, heads), nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        inner = self.mlp.fc1(self.layer_norm2(x))
        return x + self.mlp.fc2(inner * torch.sigmoid(1.702 * inner))       # quick GELU, as OpenAI's CLIP has it


class TextEncoder(nn.Module):
    """`forward(prompts)` gives [prompts, 77 * chunks, width]."""

    def __init__(self, vocabulary, width, layers, hidden, heads, positions):
        super().__init__()
        self.transformer, text = nn.Module(), nn.Module()
        self.transformer.text_model, text.embeddings, text.encoder = text, nn.Module(), nn.Module()
        text.embeddings.token_embedding = nn.Embedding(vocabulary, width)
        text.embeddings.position_embedding = nn.Embedding(positions, width)
        text.encoder.layers = nn.ModuleList(Layer(width, heads, hidden) for _ in range(layers))
        text.final_layer_norm = nn.LayerNorm(width)
        self.vocabulary, self.id_start, self.id_end = vocabulary, vocabulary - 2, vocabulary - 1

    def chunks(self, prompt):
        """[[(id, weight), ... 77 of them], ...]; BREAK fills a chunk up."""
        stream, end = [], (self.id_end, 1.0)
        for text, weight in prompt_parser.parse_prompt_attention(prompt):
            if text == "BREAK" and weight == -1:
                stream += [end] * (-len(stream) % ROOM)
            elif self.vocabulary == CLIP_VOCABULARY:
                stream += [(number, weight) for number in _clip_tokenizer()(text)]
            else:
                words = re.findall(r"[^\W_]+|[^\w\s]", text.lower())
                stream += [(zlib.crc32(word.encode()) % self.id_start, weight) for word in words]
        parts = [stream[start:start + ROOM] for start in range(0, len(stream) or 1, ROOM)]
        return [[(self.id_start, 1.0), *part, *[end] * (ROOM + 1 - len(part))] for part in parts]

    def tokenize(self, texts):
        return [[number for chunk in self.chunks(text) for number, _ in chunk[1:-1] if number != self.id_end] for text in texts]

    def tokenize_line(self, line):
        """([chunks with their 77 `tokens`], number of tokens)."""
        chunks = [types.SimpleNamespace(tokens=[number for number, _ in chunk]) for chunk in self.chunks(line)]
        return chunks, len(chunks) * ROOM

    def forward(self, prompts):
        split, empty = [self.chunks(prompt) for prompt in prompts], self.chunks("")
        longest = max(map(len, split))
        return torch.cat([self._encoded(chunks) for chunks in zip(*(one + empty * (longest - len(one)) for one in split))], dim=1)

    def _encoded(self, chunks):
        numbers, weights = (torch.tensor([[pair[place] for pair in chunk] for chunk in chunks], device=devices.device)
                            for place in (0, 1))
        text = self.transformer.text_model
        z = text.embeddings.token_embedding(numbers) + text.embeddings.position_embedding.weight[:numbers.shape[1]]
        skipped = min(int(shared.opts.CLIP_stop_at_last_layers), len(text.encoder.layers)) - 1
        for layer in text.encoder.layers[:len(text.encoder.layers) - skipped]:
            z = layer(z)
        z = text.final_layer_norm(z)
        if (weights == 1).all():
            return z
        weighted = z * weights.unsqueeze(2)
        return weighted * (z.mean() / weighted.mean())              # the mean stays what it was
