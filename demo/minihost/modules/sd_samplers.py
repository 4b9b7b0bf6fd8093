"""All samplers by name."""
import functools

from modules import (
    sd_samplers_common,
    sd_samplers_kdiffusion,
    sd_samplers_lcm,
    sd_samplers_timesteps,
    sd_schedulers,
    shared,
)
from modules.sd_samplers_common import sample_to_image, samples_to_image_grid  # noqa: F401

all_samplers = [*sd_samplers_kdiffusion.samplers_data_k_diffusion, *sd_samplers_timesteps.samplers_data_timesteps,
                *sd_samplers_lcm.samplers_data_lcm]
all_samplers_map = {data.name: data for data in all_samplers}
samplers: list[sd_samplers_common.SamplerData] = []
samplers_for_img2img: list[sd_samplers_common.SamplerData] = []
samplers_map = {}
samplers_hidden = {}


def find_sampler_config(name):
    return all_samplers[0] if name is None else all_samplers_map.get(name)


def create_sampler(name, model):
    found = find_sampler_config(name)
    if found is None:
        raise AssertionError(f"there is no sampler {name!r}")
    made = found.constructor(model)
    made.config = found
    return made


def set_samplers():
    for names in (samplers, samplers_for_img2img):
        names[:] = all_samplers
    samplers_hidden.clear()
    samplers_hidden.update(dict.fromkeys(shared.opts.hide_samplers))
    samplers_map.clear()
    samplers_map.update((name.lower(), data.name) for data in all_samplers for name in (data.name, *data.aliases))


def visible_sampler_names():
    return [data.name for data in visible_samplers()]


def visible_samplers():
    return [data for data in samplers if data.name not in samplers_hidden]


def get_sampler_from_infotext(d: dict):
    sampler, _ = _pair_of_infotext(d)
    return sampler


def get_scheduler_from_infotext(d: dict):
    _, scheduler = _pair_of_infotext(d)
    return scheduler


def _pair_of_infotext(values):
    return get_sampler_and_scheduler(*map(values.get, ("Sampler", "Schedule type")))


@functools.cache
def get_sampler_and_scheduler(sampler_name, scheduler_name, *, convert_automatic=True):
    """(sampler, scheduler label); old names such as "DPM++ 2M Karras" are taken apart, unknown ones become the defaults."""
    default = sd_schedulers.schedulers[0]
    scheduler, name = sd_schedulers.schedulers_map.get(scheduler_name, default), sampler_name or samplers[0].name
    for candidate in sd_schedulers.schedulers:
        suffix = next((word for word in (candidate.label, candidate.name, *(candidate.aliases or [])) if name.endswith(" " + word)), None)
        if suffix is not None:
            scheduler, name = candidate, name[:-len(suffix) - 1]
    sampler = all_samplers_map.get(name, samplers[0])
    if convert_automatic and sampler.options.get("scheduler") == scheduler.name:
        scheduler = default
    return sampler.name, scheduler.label


def fix_p_invalid_sampler_and_scheduler(p):
    known = get_sampler_and_scheduler(p.sampler_name, p.scheduler, convert_automatic=False)
    p.sampler_name, p.scheduler = known


set_samplers()
