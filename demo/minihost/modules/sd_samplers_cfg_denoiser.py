"""Classifier-free guidance around the UNet.

Rows of a UNet call, F pictures: cond then uncond (2F); F + F where the prompts' lengths differ or `batch_cond_uncond` is off; F where
uncond is left out (NGMS, skip-early-CFG); n parts of AND stand next to each other per picture.
"""
import torch
from modules import prompt_parser, sd_samplers_common, shared
from modules.script_callbacks import (
    AfterCFGCallbackParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    cfg_after_cfg_callback,
    cfg_denoised_callback,
    cfg_denoiser_callback,
)
from modules.shared import opts, state


def catenate_conds(conds):
    return torch.cat(conds)


def subscript_cond(cond, a, b):
    return cond[a:b]


def pad_cond(tensor, repeats, empty):
    return torch.cat([tensor, empty.repeat(len(tensor), repeats, 1)], dim=1)


class CFGDenoiser(torch.nn.Module):
    def __init__(self, sampler):
        super().__init__()
        self.sampler = sampler
        self.model_wrap = self.p = None
        self.mask = self.nmask = self.init_latent = None
        self.steps = self.total_steps = self.image_cfg_scale = None
        self.step = 0
        self.padded_cond_uncond = self.padded_cond_uncond_v0 = False
        self.cond_scale_miltiplier = 1.0
        self.need_last_noise_uncond = False
        self.last_noise_uncond = None
        self.mask_before_denoising = False

    def _make_model(self):
        """shared.sd_model as the sampling functions call it."""
        raise NotImplementedError

    @property
    def inner_model(self):
        self.model_wrap = self._make_model() if self.model_wrap is None else self.model_wrap
        return self.model_wrap

    def combine_denoised(self, x_out, conds_list, uncond, cond_scale):
        """uncond + sum over the parts of scale * weight * (part - uncond)."""
        combined = []
        for parts, without in zip(conds_list, x_out[-len(uncond):]):
            guided = without
            for row, weight in parts:
                guided = guided + (x_out[row] - without) * (weight * cond_scale)
            combined.append(guided)
        return torch.stack(combined)

    def get_pred_x0(self, x_in, x_out, sigma):
        return x_out

    def update_inner_model(self):
        self.model_wrap = None
        self.sampler.sampler_extra_args["cond"], self.sampler.sampler_extra_args["uncond"] = self.p.get_conds()

    def pad_cond_uncond(self, cond, uncond):
        """Fill the shorter up with empty chunks."""
        chunk = shared.sd_model.cond_stage_model_empty_prompt
        sizes = [tensor.shape[1] // chunk.shape[1] for tensor in (cond, uncond)]
        self.padded_cond_uncond |= sizes[0] != sizes[1]
        return tuple(tensor if size == max(sizes) else pad_cond(tensor, max(sizes) - size, chunk)
                     for tensor, size in zip((cond, uncond), sizes))

    def pad_cond_uncond_v0(self, cond, uncond):
        """Cut uncond, or fill it up with its last vector."""
        missing = cond.shape[1] - uncond.shape[1]
        self.padded_cond_uncond_v0 = missing != 0 or self.padded_cond_uncond_v0
        return cond, torch.cat([uncond, uncond[:, -1:].expand(-1, missing, -1)], 1) if missing > 0 else uncond[:, :cond.shape[1]]

    def _blend(self, latent, sigma):
        blended = latent * self.nmask + self.init_latent * self.mask
        if self.p.scripts is not None:
            from modules import scripts

            args = scripts.MaskBlendArgs(latent, self.nmask, self.init_latent, self.mask, blended, denoiser=self, sigma=sigma)
            self.p.scripts.on_mask_blend(self.p, args)
            blended = args.blended_latent
        return blended

    def _skips_uncond(self, sigma, s_min_uncond):
        params = self.p.extra_generation_params
        if opts.skip_early_cond != 0 and self.step / self.total_steps <= opts.skip_early_cond:
            params["Skip Early CFG"] = opts.skip_early_cond
            return True
        if (self.step % 2 or opts.s_min_uncond_all) and s_min_uncond > 0 and sigma[0] < s_min_uncond:
            params["NGMS"] = s_min_uncond
            if opts.s_min_uncond_all:
                params["NGMS all steps"] = opts.s_min_uncond_all
            return True
        return False

    def _unet(self, x, sigma, cond, image_cond):
        return self.inner_model(x, sigma, cond={"c_crossattn": [cond], "c_concat": [image_cond]})

    def _calls(self, x, sigma, tensor, uncond, image_cond, pictures, skip_uncond):
        """All rows through the UNet, in the calls that the host makes."""
        together = skip_uncond or tensor.shape[1] == uncond.shape[1]
        if together:
            rows = tensor if skip_uncond else catenate_conds([tensor, uncond])
            size = len(x) if opts.batch_cond_uncond else pictures
        else:
            rows, size = tensor, pictures * (2 if opts.batch_cond_uncond else 1)
        if together and size == len(x):
            return self._unet(x, sigma, rows, image_cond)
        out = torch.zeros_like(x)
        for a in range(0, len(rows), size):
            b = min(a + size, len(rows))
            out[a:b] = self._unet(x[a:b], sigma[a:b], subscript_cond(rows, a, b), image_cond[a:b])
        if not together:
            n = len(uncond)
            out[-n:] = self._unet(x[-n:], sigma[-n:], uncond, image_cond[-n:])
        return out

    def _conditions(self, sigma, cond, uncond):
        """(the pictures' parts, their conditioning, the negative one) of this step; a refiner that takes over brings its own."""
        refined = sd_samplers_common.apply_refiner(self, sigma)
        if refined:
            cond, uncond = map(self.sampler.sampler_extra_args.get, ("cond", "uncond"))
        return *prompt_parser.reconstruct_multicond_batch(cond, self.step), prompt_parser.reconstruct_cond_batch(uncond, self.step)

    def _preview(self, sigma, x_in, x_out, uncond, firsts, denoised):
        """The picture that the settings want to be seen; keeps what the prompt alone says as `last_latent`."""
        from_prompt = self.sampler.last_latent = self.get_pred_x0(x_in[firsts], x_out[firsts], sigma)
        negative = slice(-len(uncond), None)
        return {"Prompt": lambda: from_prompt,
                "Negative prompt": lambda: self.get_pred_x0(x_in[negative], x_out[negative], sigma),
                }.get(opts.live_preview_content, lambda: self.get_pred_x0(x_in[firsts], denoised[:len(firsts)], sigma))()

    def forward(self, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond):
        if state.skipped or state.interrupted:
            raise sd_samplers_common.InterruptedException()
        conds_list, tensor, uncond = self._conditions(sigma, cond, uncond)
        masked, step = self.mask is not None, (state.sampling_step, state.sampling_steps)
        if masked and self.mask_before_denoising:
            x = self._blend(x, sigma)

        pictures = len(conds_list)
        order = [i for i, parts in enumerate(conds_list) for _ in parts] + list(range(pictures))
        params = CFGDenoiserParams(x[order], image_cond[order], sigma[order], *step, tensor, uncond, self)
        cfg_denoiser_callback(params)
        x_in, image_cond_in, sigma_in, tensor, uncond = params.x, params.image_cond, params.sigma, params.text_cond, params.text_uncond

        skip_uncond = self._skips_uncond(sigma, s_min_uncond)
        if skip_uncond:
            x_in, sigma_in, image_cond_in = x_in[:-pictures], sigma_in[:-pictures], image_cond_in[:-pictures]
        self.padded_cond_uncond = self.padded_cond_uncond_v0 = False
        if tensor.shape[1] != uncond.shape[1] and (opts.pad_cond_uncond_v0 or opts.pad_cond_uncond):
            tensor, uncond = (self.pad_cond_uncond_v0 if opts.pad_cond_uncond_v0 else self.pad_cond_uncond)(tensor, uncond)
        x_out = self._calls(x_in, sigma_in, tensor, uncond, image_cond_in, pictures, skip_uncond)

        firsts = [parts[0][0] for parts in conds_list]
        if skip_uncond:
            x_out = torch.cat([x_out, x_out[firsts]])
        cfg_denoised_callback(CFGDenoisedParams(x_out, *step, self.inner_model))
        if self.need_last_noise_uncond:
            self.last_noise_uncond = x_out[-len(uncond):].clone()
        denoised = self.combine_denoised(x_out, conds_list, uncond, 1.0 if skip_uncond else cond_scale * self.cond_scale_miltiplier)
        if masked and not self.mask_before_denoising:
            denoised = self._blend(denoised, sigma)
        sd_samplers_common.store_latent(self._preview(sigma, x_in, x_out, uncond, firsts, denoised))

        after = AfterCFGCallbackParams(denoised, *step)
        cfg_after_cfg_callback(after)
        self.step += 1
        return after.x
