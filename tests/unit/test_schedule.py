"""The linear schedule, and that what was lent is given back."""

import pytest
import torch
from torch import nn

from lib_pia.schedule import lend_schedule, linear_alphas_cumprod


def test_the_linear_schedule():
    alphas = linear_alphas_cumprod()
    assert alphas.shape == (1000,) and alphas.dtype == torch.float32
    assert alphas[0] == 1 - 0.00085
    betas = 1 - alphas[1:].double() / alphas[:-1].double()
    assert torch.allclose(betas.diff(), betas.diff().mean(), atol=1e-4) and abs(float(betas[-1]) - 0.012) < 1e-4


class Model:
    pass


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_both_names_are_lent_and_given_back(error):
    model, lent = Model(), linear_alphas_cumprod()
    model.alphas_cumprod, model.alphas_cumprod_original = torch.ones(1000), torch.zeros(1000)
    before = dict(vars(model))
    try:
        with lend_schedule(model, lent):
            assert torch.equal(model.alphas_cumprod, lent) and torch.equal(model.alphas_cumprod_original, lent)
            model.alphas_cumprod = torch.ones(3)  # what the host does in between does not matter
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        assert error
    assert vars(model) == before and all(vars(model)[k] is v for k, v in before.items())


def test_what_was_absent_is_absent_again():
    model = Model()
    with lend_schedule(model, linear_alphas_cumprod()):
        assert len(model.alphas_cumprod_original) == 1000
    assert vars(model) == {}


def test_a_buffer_stays_the_same_buffer():
    model = nn.Module()
    model.register_buffer("alphas_cumprod", torch.ones(1000))
    buffer, keys = model.alphas_cumprod, list(model.state_dict())
    with lend_schedule(model, linear_alphas_cumprod()):
        assert model.alphas_cumprod is not buffer
    assert model.alphas_cumprod is buffer and list(model.state_dict()) == keys
