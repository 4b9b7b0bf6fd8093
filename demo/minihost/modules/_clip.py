"""A CLIP text encoder under the WebUI's key names, and the prompt handling around it: chunks of 75 tokens, attention weights, clip skip.

A text encoder with CLIP's vocabulary gets CLIP's own byte pairs (demo.miniature.tokenizer); for smaller ones words become ids by hash.
Shapes: B prompts, T = 77 * chunks tokens, C channels.
"""
import functools
import re
import types
import zlib

import torch
from modules import devices, prompt_parser, shared
from torch import nn

CHUNK = 75
CLIP_VOCABULARY = 49408
_WORD = re.compile(r"[^\W_]+|[^\w\s]")


@functools.cache
def _tokenizer():
    from demo.miniature.tokenizer import WORDS, Tokenizer

    return WORDS, Tokenizer()


class _Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class _MLP(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))          # quick GELU, as in OpenAI's CLIP


class _Layer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.self_attn, self.mlp = _Attention(width, heads), _MLP(width, hidden)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class _TextModel(nn.Module):
    def __init__(self, vocabulary, width, layers, hidden, heads, positions):
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.token_embedding = nn.Embedding(vocabulary, width)
        self.embeddings.position_embedding = nn.Embedding(positions, width)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(_Layer(width, heads, hidden) for _ in range(layers))
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, ids, skip):
        x = self.embeddings.token_embedding(ids) + self.embeddings.position_embedding.weight[:ids.shape[1]]
        for layer in self.encoder.layers[:len(self.encoder.layers) + 1 - skip]:
            x = layer(x)
        return self.final_layer_norm(x)


class TextEncoder(nn.Module):
    """`forward(prompts)` gives [B, T, C]."""

    def __init__(self, vocabulary, width, layers, hidden, heads, positions):
        super().__init__()
        self.transformer = nn.Module()
        self.transformer.text_model = _TextModel(vocabulary, width, layers, hidden, heads, positions)
        self.vocabulary, self.id_start, self.id_end = vocabulary, vocabulary - 2, vocabulary - 1

    def tokens(self, text):
        """Ids of the text, without start and end."""
        if self.vocabulary == CLIP_VOCABULARY:
            words, tokenizer = _tokenizer()
            return [i for word in words.findall(" ".join(text.lower().split())) for i in tokenizer.word(word)]
        return [zlib.crc32(word.encode()) % (self.vocabulary - 2) for word in _WORD.findall(text.lower())]

    def chunks(self, prompt):
        """[([77 ids], [77 weights]), ...], at least one."""
        tokens, out = [], []
        for text, weight in prompt_parser.parse_prompt_attention(prompt):
            if weight == -1:                                    # BREAK fills the chunk up
                tokens += [(self.id_end, 1.0)] * (-len(tokens) % CHUNK)
                continue
            tokens += [(token, weight) for token in self.tokens(text)]
        for start in range(0, max(len(tokens), 1), CHUNK):
            part = tokens[start:start + CHUNK]
            part = [(self.id_start, 1.0), *part, *[(self.id_end, 1.0)] * (CHUNK + 1 - len(part))]
            out.append(tuple(zip(*part)))
        return out

    def tokenize(self, texts):
        return [self.tokens(text) for text in texts]

    def tokenize_line(self, line):
        """([chunks with their 77 `tokens`], number of tokens)."""
        chunks = [types.SimpleNamespace(tokens=list(ids)) for ids, _ in self.chunks(line)]
        return chunks, len(chunks) * CHUNK

    def forward(self, prompts):
        chunked = [self.chunks(prompt) for prompt in prompts]
        count = max(map(len, chunked))
        empty = self.chunks("")[0]
        return torch.cat([self._encode([chunks[i] if i < len(chunks) else empty for chunks in chunked]) for i in range(count)], dim=1)

    def _encode(self, chunk):
        ids = torch.tensor([ids for ids, _ in chunk], device=devices.device)
        weights = torch.tensor([weights for _, weights in chunk], device=devices.device)
        skip = min(int(shared.opts.CLIP_stop_at_last_layers), len(self.transformer.text_model.encoder.layers))
        z = self.transformer.text_model(ids, skip)
        if bool((weights == 1).all()):
            return z
        weighted = z * weights[..., None]
        return weighted * (z.mean() / weighted.mean())          # the whole keeps its mean

    def get_target_prompt_token_count(self, token_count):
        return -(-max(token_count, 1) // CHUNK) * CHUNK
