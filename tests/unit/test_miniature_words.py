"""The words of motion get a direction of their own in the text encodings, from the word on."""

import torch

from demo.miniature.words import STRENGTH, marked, texts_of

LEFT, RIGHT = 7, 8
TOKENS = torch.tensor([[1, 2, LEFT, 9], [1, 2, RIGHT, 9], [1, LEFT, RIGHT, 9], [1, 2, 3, 9]])


def test_a_word_moves_its_token_and_all_after_it():
    encodings = torch.randn(4, 4, 6, generator=torch.Generator().manual_seed(0))
    change = marked(TOKENS, encodings, [LEFT, RIGHT]) - encodings
    lengths = change.norm(dim=-1) / encodings.norm(dim=-1).mean()
    assert torch.allclose(lengths[:2], torch.tensor([0, 0, STRENGTH, STRENGTH]).expand(2, 4), atol=1e-5)
    assert torch.allclose((change[0, 2] * change[1, 2]).sum(), torch.tensor(0.0), atol=1e-5)
    assert torch.allclose(change[2, 1], change[0, 2], atol=1e-5)  # before the second word the first alone
    assert torch.allclose(change[2, 2], (change[0, 2] + change[1, 2]) / 2, atol=1e-5)
    assert change[3].abs().max() < 1e-6


def test_texts_without_motion_are_among_those_it_learns_from():
    texts = texts_of(["a red star, moving left", "a blue star, still"])
    assert {"a red star, moving left", "moving left", "still", "a blue star", ""} <= set(texts)
