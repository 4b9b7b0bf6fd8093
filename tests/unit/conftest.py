import pytest
import torch

from lib_pia.model import PIAModel
from tests.tiny_models import build_unet

FRAMES, SIZE = 4, 8


def random_unet(seed=0, **options):
    """A small LDM UNet in SD1.5's layout, every weight random (also those that LDM starts at zero)."""
    torch.manual_seed(seed)
    unet = build_unet(**{"width": 32, "channel_mult": (1, 1, 1, 1), "context_dim": 16, **options})
    for p in unet.parameters():
        p.data.normal_(0, 0.3 if p.dim() == 1 else p[0].numel() ** -0.5)
    return unet


def random_model(seed=1, channels=(32, 32, 32, 32)):
    torch.manual_seed(seed)
    model = PIAModel(channels).eval().requires_grad_(False)
    for name, p in model.named_parameters():
        p.data.normal_(
            1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.2 if p.dim() == 1 else p[0].numel() ** -0.5
        )
    return model


@pytest.fixture(scope="session")
def model():
    return random_model()


@pytest.fixture
def unet():
    return random_unet()


@pytest.fixture
def condition():
    torch.manual_seed(2)
    return torch.randn(FRAMES, 5, SIZE, SIZE)


@pytest.fixture
def call():
    """call(unet, groups=2, seed=3): eps of a seeded input of groups*F rows; the same rows for the same seed."""

    def run(unet, groups=2, seed=3, frames=FRAMES):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(groups * frames, 4, SIZE, SIZE, generator=generator)
        context = torch.randn(groups * frames, 7, 16, generator=generator)
        with torch.no_grad():
            return unet(x, torch.full((len(x),), 501), context=context)

    return run
