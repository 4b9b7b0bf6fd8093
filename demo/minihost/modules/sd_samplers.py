"""The samplers by name."""

from modules import sd_samplers_kdiffusion, sd_samplers_timesteps, sd_schedulers
from modules.sd_samplers_common import sample_to_image, samples_to_image_grid  # noqa: F401

all_samplers = sd_samplers_kdiffusion.SAMPLERS + sd_samplers_timesteps.SAMPLERS
all_samplers_map = {data.name: data for data in all_samplers}


def create_sampler(name, model):
    """A sampler of its own for one sampling. The sigma table is made from `model.alphas_cumprod` as it is now."""
    config = all_samplers_map[name]
    sampler = config.constructor(model)
    sampler.config = config
    return sampler


def get_sampler_and_scheduler(sampler_name, scheduler_name, *, convert_automatic=True):
    """(name, scheduler's label). "DPM++ 2M Karras" is both in one, as older versions wrote it; what is unknown becomes
    the first sampler, Automatic. With `convert_automatic` a sampler's own scheduler is called Automatic too."""
    automatic = sd_schedulers.schedulers[0]
    name, scheduler = sampler_name or all_samplers[0].name, sd_schedulers.schedulers_map.get(scheduler_name, automatic)
    for one in sd_schedulers.schedulers:
        if name.endswith(f" {one.label}"):
            name, scheduler = name.removesuffix(f" {one.label}"), one
    config = all_samplers_map.get(name, all_samplers[0])
    if convert_automatic and config.options.get("scheduler") == scheduler.name:
        scheduler = automatic
    return config.name, scheduler.label
