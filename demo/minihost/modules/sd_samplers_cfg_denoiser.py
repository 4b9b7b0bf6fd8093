"""Classifier-free guidance: what a sampling function calls as its model.

F pictures, prompts of n parts (AND): the positive rows stand picture by picture (picture 0 part 0, picture 0 part 1, ...),
then one negative row per picture. They go through the UNet in one call, or in several of equal prompt length; NGMS and
skip-early-CFG leave the negative rows out.
"""
from __future__ import annotations

from types import SimpleNamespace

import torch
from modules import prompt_parser, script_callbacks, scripts
from modules.sd_samplers_common import InterruptedException, store_latent
from modules.shared import opts, state


class CFGDenoiser(torch.nn.Module):
    mask_before_denoising = False           # blend the known part in before the model instead of after it

    def __init__(self, sampler):
        super().__init__()
        from modules import shared

        vars(self).update(sampler=sampler, p=None, mask=None, nmask=None, init_latent=None, step=0, steps=None,
                          total_steps=None, padded_cond_uncond=False)
        self.model_wrap = self.wrapped(shared.sd_model)

    @property
    def inner_model(self):
        return self.model_wrap

    def wrapped(self, model):
        """`model` as the sampling functions call it."""
        raise NotImplementedError

    def get_pred_x0(self, x_in, x_out, sigma):
        """The clean latent that an output of the wrapped model means."""
        return x_out

    def forward(self, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond):
        if state.interrupted or state.skipped:
            raise InterruptedException
        compositions, positive = prompt_parser.reconstruct_multicond_batch(cond, self.step)
        negative = prompt_parser.reconstruct_cond_batch(uncond, self.step)
        if self.mask_before_denoising and self.mask is not None:
            x = self._blended(x, sigma)
        rows = self._rows(compositions, x, sigma, image_cond, positive, negative)
        alone = self._without_negative(sigma, s_min_uncond)
        firsts = [parts[0][0] for parts in compositions]
        out = self._predicted(rows, len(x), alone)
        if alone:                           # what is subtracted is then the first part itself
            out = torch.cat([out, out[firsts]])
        script_callbacks.cfg_denoised_callback(SimpleNamespace(
            x=out, sampling_step=state.sampling_step, total_sampling_steps=state.sampling_steps, inner_model=self.inner_model))
        guided = self.combine_denoised(out, compositions, rows.text_uncond, 1.0 if alone else cond_scale)
        if self.mask is not None and not self.mask_before_denoising:
            guided = self._blended(guided, sigma)
        self._show(rows.x, out, sigma, firsts, guided)
        after = SimpleNamespace(x=guided, sampling_step=state.sampling_step, total_sampling_steps=state.sampling_steps)
        script_callbacks.cfg_after_cfg_callback(after)
        self.step += 1
        return after.x

    def _rows(self, compositions, x, sigma, image_cond, positive, negative):
        """The rows of this step, as the subscribers of `cfg_denoiser` leave them."""
        of = [picture for picture, parts in enumerate(compositions) for _ in parts] + list(range(len(compositions)))
        rows = SimpleNamespace(
            x=x[of], image_cond=image_cond[of], sigma=sigma[of], sampling_step=state.sampling_step,
            total_sampling_steps=state.sampling_steps, text_cond=positive, text_uncond=negative, denoiser=self)
        script_callbacks.cfg_denoiser_callback(rows)
        return rows

    def _without_negative(self, sigma, s_min_uncond) -> bool:
        told = self.p.extra_generation_params
        if opts.skip_early_cond and self.step / self.total_steps <= opts.skip_early_cond:
            told["Skip Early CFG"] = opts.skip_early_cond
            return True
        if 0 < s_min_uncond > sigma[0] and (opts.s_min_uncond_all or self.step % 2 == 1):
            told["NGMS"] = s_min_uncond
            if opts.s_min_uncond_all:
                told["NGMS all steps"] = True
            return True
        return False

    def _predicted(self, rows, pictures: int, alone: bool) -> torch.Tensor:
        """What the model says of every row (of the positive ones where `alone`)."""
        positive, negative = rows.text_cond, rows.text_uncond
        count = len(rows.x) - (pictures if alone else 0)
        if positive.shape[1] != negative.shape[1] and opts.pad_cond_uncond:
            positive, negative = self._padded(positive, negative)
        if alone:
            groups = [positive]
        elif positive.shape[1] == negative.shape[1]:
            groups = [torch.cat([positive, negative])]
        else:
            groups = [positive, negative]
        together = count if len(groups) == 1 else 2 * pictures
        size = together if opts.batch_cond_uncond else pictures
        out, start = [], 0
        for texts in groups:
            for part in texts.split(size):
                these = slice(start, start + len(part))
                conds = {"c_crossattn": [part], "c_concat": [rows.image_cond[these]]}
                out.append(self.inner_model(rows.x[these], rows.sigma[these], cond=conds))
                start += len(part)
        return torch.cat(out)

    def _padded(self, positive, negative):
        """The shorter one filled up with empty prompts."""
        from modules import shared

        empty = shared.sd_model.cond_stage_model_empty_prompt
        longest = max(positive.shape[1], negative.shape[1])
        self.padded_cond_uncond = True
        return (torch.cat([one, empty.repeat(len(one), (longest - one.shape[1]) // empty.shape[1], 1)], dim=1)
                for one in (positive, negative))

    def combine_denoised(self, x_out, conds_list, uncond, cond_scale):
        """Negative + scale * sum over parts of weight * (part - negative), per picture."""
        result = []
        for parts, base in zip(conds_list, x_out[len(x_out) - len(uncond):]):
            total = base
            for row, weight in parts:
                total = total + (x_out[row] - base) * (cond_scale * weight)
            result.append(total)
        return torch.stack(result)

    def _blended(self, latent, sigma):
        """`latent` where the mask says new, the picture's latent elsewhere."""
        mix = self.init_latent * self.mask + latent * self.nmask
        return scripts.offer_blend(self.p, SimpleNamespace(
            current_latent=latent, nmask=self.nmask, init_latent=self.init_latent, mask=self.mask, blended_latent=mix,
            denoiser=self, sigma=sigma, is_final_blend=False))

    def _show(self, x, out, sigma, firsts, guided):
        """Keeps what the positive prompt alone gives, for interrupts, and what the preview shows."""
        self.sampler.last_latent = shown = self.get_pred_x0(x[firsts], out[firsts], sigma)
        if opts.live_preview_content == "Negative prompt":
            shown = self.get_pred_x0(x[-len(firsts):], out[-len(firsts):], sigma)
        elif opts.live_preview_content == "Combined":
            shown = self.get_pred_x0(x[firsts], guided, sigma)
        store_latent(shown)
