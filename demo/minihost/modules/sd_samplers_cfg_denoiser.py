"""Classifier-free guidance: what a sampling function calls as its model.

F pictures, prompts of n parts (AND): the positive rows stand picture by picture (picture 0 part 0, picture 0 part 1,
...), then one negative row per picture. They go through the UNet in one call, or in several of equal prompt length;
NGMS and skip-early-CFG leave the negative rows out.
"""

from types import SimpleNamespace

import torch
from modules import prompt_parser, script_callbacks, scripts, shared
from modules.sd_samplers_common import InterruptedException
from modules.shared import opts, state


class CFGDenoiser(torch.nn.Module):
    mask_before_denoising = False  # blend the known part in before the model instead of after it

    def __init__(self, sampler):
        super().__init__()
        vars(self).update(dict.fromkeys("p mask nmask init_latent total_steps".split()), sampler=sampler, step=0)
        self.padded_cond_uncond = False
        self.inner_model = self.wrapped(shared.sd_model)  # as the sampling functions call it

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
            self.padded_cond_uncond = True
            texts = [self._padded(text, max(lengths)) for text in texts]
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

    @staticmethod
    def _padded(text, length):
        empty = shared.sd_model.cond_stage_model_empty_prompt
        return torch.cat([text, empty.repeat(len(text), (length - text.shape[1]) // empty.shape[1], 1)], dim=1)

    def combine_denoised(self, x_out, conds_list, uncond, cond_scale):
        """Negative + scale * sum over parts of weight * (part - negative), per picture."""
        result = x_out[len(x_out) - len(uncond) :].clone()
        for picture, parts in enumerate(conds_list):
            base = x_out[len(x_out) - len(uncond) + picture]
            for row, weight in parts:
                result[picture] += (x_out[row] - base) * (cond_scale * weight)
        return result

    def _blended(self, latent, sigma):
        return scripts.blended(self.p, latent, self.mask, self.nmask, self.init_latent, denoiser=self, sigma=sigma)
