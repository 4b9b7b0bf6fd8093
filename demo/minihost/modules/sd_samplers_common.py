"""What all samplers share: classifier-free guidance, and one sampling; pictures to latents and back.

F pictures, prompts of n parts (AND): the positive rows stand picture by picture (picture 0 part 0, picture 0 part 1,
...), then one negative row per picture. They go through the UNet in one call, or in several of equal prompt length;
NGMS and skip-early-CFG leave the negative rows out.
"""

from __future__ import annotations

import inspect
from collections import namedtuple
from types import SimpleNamespace

import k_diffusion.sampling
import torch
from modules import devices, images, prompt_parser, script_callbacks, scripts, shared
from modules.shared import opts, state
from PIL import Image

# A latent's four channels as colours, roughly: what previews show.
ROUGH_COLOURS = ((0.30, 0.19, 0.17), (0.19, 0.28, 0.21), (-0.16, 0.19, 0.27), (-0.20, -0.19, -0.47))
SamplerData = namedtuple("SamplerData", "name constructor options")  # constructor(model) -> Sampler


class InterruptedException(BaseException):
    """Ends a sampling; what there is by then is the result."""


def images_tensor_to_samples(image, approximation=None, model=None):
    """Pictures [B, 3, H, W], 0..1, to scaled latents, one picture after the other."""
    model = model or shared.sd_model
    signed = 2 * image.to(devices.device, devices.dtype_vae) - 1
    return torch.cat([model.get_first_stage_encoding(model.encode_first_stage(one)) for one in signed.split(1)])


def sample_to_image(samples, index=0, approximation=None):
    """A preview of one latent of a batch."""
    picture = torch.einsum("chw,cr->hwr", samples[index], torch.tensor(ROUGH_COLOURS).to(samples))
    values = (picture.float() * 127.5 + 127.5).clamp(0, 255).byte()
    return Image.fromarray(values.contiguous().cpu().numpy())


def samples_to_image_grid(samples, approximation=None):
    return images.image_grid([sample_to_image(samples, number) for number in range(len(samples))])


class CFGDenoiser(torch.nn.Module):
    mask_before_denoising = False  # blend the known part in before the model instead of after it

    def __init__(self, sampler, inner_model):
        super().__init__()
        vars(self).update(dict.fromkeys("p mask nmask init_latent total_steps".split()), sampler=sampler, step=0)
        self.inner_model, self.padded_cond_uncond = inner_model, False

    def get_pred_x0(self, x_in, x_out, sigma):
        """The clean latent that an output of the wrapped model means."""
        return x_out

    def forward(self, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond):
        if state.interrupted or state.skipped:
            raise InterruptedException
        now = {"sampling_step": state.sampling_step, "total_sampling_steps": state.sampling_steps}
        compositions, positive = prompt_parser.reconstruct_multicond_batch(cond, self.step)
        if self.mask_before_denoising and self.mask is not None:
            x = self._blended(x, sigma)
        of = [picture for picture, parts in enumerate(compositions) for _ in parts] + list(range(len(x)))
        rows = SimpleNamespace(x=x[of], image_cond=image_cond[of], sigma=sigma[of], denoiser=self, **now)
        rows.text_cond, rows.text_uncond = positive, prompt_parser.reconstruct_cond_batch(uncond, self.step)
        script_callbacks.cfg_denoiser_callback(rows)
        alone = self._without_negative(sigma, s_min_uncond)
        firsts = [parts[0][0] for parts in compositions]
        out = self._predicted(rows, len(x), alone)
        if alone:  # what is subtracted is then the first part itself
            out, cond_scale = torch.cat([out, out[firsts]]), 1.0
        script_callbacks.cfg_denoised_callback(SimpleNamespace(x=out, inner_model=self.inner_model, **now))
        guided = self.combine_denoised(out, compositions, rows.text_uncond, cond_scale)
        if self.mask is not None and not self.mask_before_denoising:
            guided = self._blended(guided, sigma)
        state.current_latent = self.sampler.last_latent = self.get_pred_x0(rows.x[firsts], out[firsts], sigma)
        after = SimpleNamespace(x=guided, **now)
        script_callbacks.cfg_after_cfg_callback(after)
        self.step += 1
        return after.x

    def _without_negative(self, sigma, s_min_uncond):
        told = self.p.extra_generation_params
        if opts.skip_early_cond and self.step / self.total_steps <= opts.skip_early_cond:
            told["Skip Early CFG"] = opts.skip_early_cond
            return True
        if 0 < s_min_uncond > sigma[0] and (opts.s_min_uncond_all or self.step % 2 == 1):
            told.update({"NGMS": s_min_uncond, **({"NGMS all steps": True} if opts.s_min_uncond_all else {})})
            return True
        return False

    def _predicted(self, rows, pictures, alone):
        """What the model says of every row (of the positive ones where `alone`)."""
        texts = [rows.text_cond, rows.text_uncond]
        lengths = [text.shape[1] for text in texts]
        if opts.pad_cond_uncond and lengths[0] != lengths[1]:
            self.padded_cond_uncond, empty = True, shared.sd_model.cond_stage_model_empty_prompt
            missing = [(max(lengths) - length) // empty.shape[1] for length in lengths]
            texts = [torch.cat([text, empty.repeat(len(text), n, 1)], dim=1) for text, n in zip(texts, missing)]
        if alone:
            texts.pop()
        elif texts[0].shape[1] == texts[1].shape[1]:
            texts = [torch.cat(texts)]
        size = pictures if not opts.batch_cond_uncond else len(texts[0]) if len(texts) == 1 else 2 * pictures
        out, start = [], 0
        for part in (part for text in texts for part in text.split(size)):
            these = slice(start, start + len(part))
            conds = {"c_crossattn": [part], "c_concat": [rows.image_cond[these]]}
            out.append(self.inner_model(rows.x[these], rows.sigma[these], cond=conds))
            start += len(part)
        return torch.cat(out)

    def combine_denoised(self, x_out, conds_list, uncond, cond_scale):
        """Negative + scale * sum over parts of weight * (part - negative), per picture."""
        guided = []
        for base, parts in zip(x_out[len(x_out) - len(uncond) :], conds_list):
            pulls = [(x_out[row] - base) * (cond_scale * weight) for row, weight in parts]
            guided.append(sum(pulls, start=base))
        return torch.stack(guided)

    def _blended(self, latent, sigma):
        return scripts.blended(self.p, latent, self.mask, self.nmask, self.init_latent, denoiser=self, sigma=sigma)


class Sampler:
    """One sampling. `func(denoiser, x, ...)` is the sampling function, `model_wrap_cfg` its denoiser.

    A kind of sampler has `from_noise(p, x, steps)` and `from_latent(p, x, noise, steps, made)`, for the last `made` + 1
    steps: both give the start and keyword arguments of `func`.
    """

    eta_setting, eta_in_infotext, eta_default = "eta_ancestral", "Eta", 1.0

    def __init__(self, function, denoiser):
        self.func, self.model_wrap_cfg, self.model_wrap = function, denoiser, denoiser.inner_model
        self.p = self.config = self.eta = self.last_latent = self.sampler_extra_args = None

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        """From noise `x`, unit variance."""
        start, arguments = self.from_noise(p, x, steps or p.steps)
        conds = conditioning, unconditional_conditioning, image_conditioning
        return self._run(p, start, start, steps or p.steps, conds, arguments)

    def sample_img2img(
        self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None
    ):  # fmt: skip
        """From the latent `x`, noised by p.denoising_strength: of `total` steps the last `made` + 1."""
        strength = min(p.denoising_strength, 0.999)
        total, made = p.steps, int(p.steps * strength)
        if steps is not None:
            total, made = int(steps / strength) if strength > 0 else 0, steps - 1
        start, arguments = self.from_latent(p, x, noise, total, made)
        self.model_wrap_cfg.init_latent = x
        conds = conditioning, unconditional_conditioning, image_conditioning
        return self._run(p, start, x, made + 1, conds, arguments)

    def _run(self, p, x, latent, steps, conds, arguments):
        """`func` from `x`; when it is interrupted, the last latent (`latent` before there is one). `conds`: (positive,
        negative, of the picture)."""
        # k-diffusion's noise comes from the pictures' own seeds
        k_diffusion.sampling.torch = SimpleNamespace(**{**vars(torch), "randn_like": lambda x: p.rng.next()})
        self.p, denoiser, self.last_latent = p, self.model_wrap_cfg, latent
        vars(denoiser).update(p=p, step=0, mask=getattr(p, "mask", None), nmask=getattr(p, "nmask", None))
        self.eta = getattr(opts, self.eta_setting) if p.eta is None else p.eta
        if "eta" in inspect.signature(self.func).parameters:
            arguments["eta"] = self.eta
            if self.eta != self.eta_default:
                p.extra_generation_params[self.eta_in_infotext] = self.eta
        self.sampler_extra_args = dict(zip(("cond", "uncond", "image_cond"), conds), cond_scale=p.cfg_scale)
        self.sampler_extra_args["s_min_uncond"] = p.s_min_uncond or 0.0
        denoiser.total_steps = steps * (2 if self.config.options.get("second_order") else 1)
        state.sampling_steps, state.sampling_step = steps, 0
        given = {"extra_args": self.sampler_extra_args, "disable": True, "callback": self._count}
        try:
            made = self.func(denoiser, x, **given, **arguments)
        except InterruptedException:
            made = self.last_latent
        if denoiser.padded_cond_uncond:
            p.extra_generation_params["Pad conds"] = True
        return made

    def _count(self, told):
        state.sampling_step = told["i"]
