"""CLIP's text encoder under the key names of SD checkpoints, and prompts to chunks of 75 tokens. Nothing is weighted.

The tokens are CLIP's byte pairs (demo.miniature.tokenizer); in an encoder with fewer, several have one number.
"""

import functools
import types

import torch
from modules import devices
from modules.shared import opts
from torch import nn

from demo.miniature.tokenizer import WORDS, Tokenizer

ROOM = 75  # tokens of a chunk between start and end
_clip = functools.cache(Tokenizer)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):  # [B, T, C]
        layers = self.q_proj, self.k_proj, self.v_proj
        q, k, v = (layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in layers)
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
        return x + self.mlp.fc2(inner * torch.sigmoid(1.702 * inner))  # quick GELU, as OpenAI's CLIP has it


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
        self.id_start, self.id_end = vocabulary - 2, vocabulary - 1

    def tokenize(self, texts):
        """The numbers of each text's tokens."""
        words = [WORDS.findall(" ".join(text.lower().split())) for text in texts]
        return [[number % self.id_start for word in found for number in _clip().word(word)] for found in words]

    def chunks(self, text):
        """[[number, ... 77 of them], ...]"""
        (numbers,) = self.tokenize([text])
        parts = [numbers[start : start + ROOM] for start in range(0, len(numbers) or 1, ROOM)]
        return [[self.id_start, *part, *[self.id_end] * (ROOM + 1 - len(part))] for part in parts]

    def tokenize_line(self, line):
        """([chunks with their 77 `tokens`], number of tokens)."""
        chunks = [types.SimpleNamespace(tokens=chunk) for chunk in self.chunks(line)]
        return chunks, len(chunks) * ROOM

    def forward(self, prompts):
        split, empty = [self.chunks(prompt) for prompt in prompts], self.chunks("")
        longest = max(map(len, split))
        filled = [chunks + empty * (longest - len(chunks)) for chunks in split]
        return torch.cat([self._encoded(together) for together in zip(*filled)], dim=1)

    def _encoded(self, chunks):
        text, numbers = self.transformer.text_model, torch.tensor(chunks, device=devices.device)
        z = text.embeddings.token_embedding(numbers) + text.embeddings.position_embedding.weight[: numbers.shape[1]]
        used = len(text.encoder.layers) + 1 - min(int(opts.CLIP_stop_at_last_layers), len(text.encoder.layers))
        for layer in text.encoder.layers[:used]:
            z = layer(z)
        return text.final_layer_norm(z)
