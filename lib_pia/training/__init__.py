"""PIA's training recipe (arXiv 2312.13964, section 3.3): a frozen UNet, and a condition conv and motion modules that
learn.

As a program, on any SD1.5-layout checkpoint and any folder of clips with captions (docs/TRAINING.md)::

    python -m lib_pia.training --checkpoint model.safetensors --clips DIR --out RUN

As a library, with clips from anywhere::

    from lib_pia.training import ClipBatch, TrainConfig, Trainer, draw, fresh_model, train

    def clips(first: int, count: int) -> ClipBatch:  # samples number first .. first + count - 1, always the same ones
        for number in range(first, first + count):
            rng = draw(SEED, number)  # this sample's own random numbers (numpy Generator)
            ...                       # pick a clip and a condition frame, encode, measure the affinity
        return ClipBatch(
            latents,                  # [B, F, 4, h, w], VAE latents times 0.18215
            text, null_text,          # [B, 77, D] captions, [77, D] the empty text
            affinity,                 # [B, F], 1 at the condition frame: AffinityScale.affinity(distances, frame)
            condition_frame)          # [B] int64

    model = fresh_model(unet)         # zero condition conv and proj_out: the UNet's output is unchanged
    config = TrainConfig(steps=2000, batch_size=8)
    trainer = Trainer(unet, model, config, clips, Processes(device=torch.device("cuda")))
    train(trainer, "RUN", resume=True)  # RUN/pia.safetensors, log.csv, state.pt

Two stages as in the paper: `TrainConfig(stage="motion")` first (text-to-video, the condition is always dropped), then
stage "condition" with the first one's model. `trainer.train_step()` is one optimizer step, for a loop of one's own;
`trainer.exported()` is the averaged model.
"""

from .config import TrainConfig
from .objective import ClipBatch, ClipSource, draw
from .processes import Processes, choose_device, join_processes
from .run import train
from .scale import AffinityScale
from .trainer import StepReport, Trainer
from .weights import fresh_model, load_initial

__all__ = [
    "AffinityScale",
    "ClipBatch",
    "ClipSource",
    "Processes",
    "StepReport",
    "TrainConfig",
    "Trainer",
    "choose_device",
    "draw",
    "fresh_model",
    "join_processes",
    "load_initial",
    "train",
]
