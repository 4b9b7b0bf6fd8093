"""What the WebUI changes in the model: sizes that are no multiple of 64, tileable pictures, comments of the prompt parser."""
import ldm.modules.diffusionmodules.openaimodel as _openaimodel
import torch


class _CatThatFits:
    """`torch` for LDM's UNet, where a skip connection of another size is resized (latents of odd size)."""

    def __getattr__(self, name):
        return self._cat if name == "cat" else getattr(torch, name)

    @staticmethod
    def _cat(tensors, *args, **kwargs):
        first, *rest = tensors
        if rest and first.shape[-2:] != rest[0].shape[-2:]:
            first = torch.nn.functional.interpolate(first, rest[0].shape[-2:], mode="nearest")
        return torch.cat([first, *rest], *args, **kwargs)


_openaimodel.th = _CatThatFits()


class StableDiffusionModelHijack:
    layers = None
    circular_enabled = False

    def __init__(self):
        self.comments = []
        self.extra_generation_params = {}

    def hijack(self, m):
        self.layers = [layer for layer in m.modules() if type(layer) is torch.nn.Conv2d]

    def undo_hijack(self, m):
        self.apply_circular(False)
        self.layers = None

    def apply_circular(self, enable):
        if self.circular_enabled == enable or self.layers is None:
            return
        self.circular_enabled, mode = enable, "circular" if enable else "zeros"
        for layer in self.layers:
            layer.padding_mode = mode

    def clear_comments(self):
        self.comments = []
        self.extra_generation_params = {}


model_hijack = StableDiffusionModelHijack()
