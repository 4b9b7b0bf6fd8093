"""The miniature's optimizer: matrices step as torch's Muon does, everything else as AdamW."""

import torch

from demo.miniature.muon import Muon, orthogonal, split

RATE = 1e-2


def stepped(make, start: torch.Tensor, gradients: list[torch.Tensor]) -> torch.Tensor:
    parameter = torch.nn.Parameter(start.clone())
    optimizer = make(parameter)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach() - start


def matrices(parameter) -> Muon:
    return Muon([{"params": [parameter], "lr": RATE, "matrices": True}])


def test_steps_are_nearly_orthogonal_whatever_the_shape():
    torch.manual_seed(0)
    for shape in ((3, 32, 80), (3, 80, 32), (1, 16, 16)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape) * 7))
        assert values.median() > 0.65 and values.max() < 1.3


def test_a_matrix_steps_as_torchs_muon():
    torch.manual_seed(1)
    start, gradients = torch.randn(24, 40), [torch.randn(24, 40) for _ in range(4)]
    theirs = stepped(
        lambda p: torch.optim.Muon([p], RATE, weight_decay=1e-3, adjust_lr_fn="match_rms_adamw"), start, gradients
    )
    ours = stepped(matrices, start, gradients)
    assert (ours - theirs).norm() < 0.02 * theirs.norm()  # torch's multiplies in bfloat16
    assert ours.square().mean().sqrt() > 0.1 * 4 * RATE


def test_a_convolution_steps_as_the_matrix_of_its_outputs():
    torch.manual_seed(2)
    start, gradients = torch.randn(8, 6, 3, 3), [torch.randn(8, 6, 3, 3) for _ in range(3)]
    flat = stepped(matrices, start.flatten(1), [gradient.flatten(1) for gradient in gradients])
    assert torch.allclose(stepped(matrices, start, gradients).flatten(1), flat, atol=1e-7)


def test_matrices_of_one_shape_do_not_touch_each_other():
    torch.manual_seed(3)
    starts, gradients = torch.randn(2, 8, 12), torch.randn(2, 8, 12)
    parameters = [torch.nn.Parameter(start.clone()) for start in starts]
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = gradient
    Muon([{"params": parameters, "lr": RATE, "matrices": True}]).step()
    for parameter, start, gradient in zip(parameters, starts, gradients):
        assert torch.allclose(parameter - start, stepped(matrices, start, [gradient]), atol=1e-6)


def test_vectors_step_as_adamw_also_after_a_restart(tmp_path):
    torch.manual_seed(4)
    start, gradients = torch.randn(20), [torch.randn(20) for _ in range(6)]
    wanted = stepped(lambda p: torch.optim.AdamW([p], RATE, betas=(0.9, 0.99), weight_decay=1e-3), start, gradients)
    parameter = torch.nn.Parameter(start.clone())
    optimizer = Muon([{"params": [parameter], "lr": RATE}])
    for number, gradient in enumerate(gradients):
        if number == 3:
            torch.save(optimizer.state_dict(), tmp_path / "state.pt")
            optimizer = Muon([{"params": [parameter], "lr": RATE}])
            optimizer.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        parameter.grad = gradient.clone()
        optimizer.step()
    assert torch.allclose(parameter.detach() - start, wanted, atol=1e-6)


def test_the_ends_of_a_network_and_its_vectors_are_no_matrices():
    layers = torch.nn.ModuleDict({"out": torch.nn.Linear(4, 3), "middle": torch.nn.Linear(3, 3)})
    inner, others = split(layers.named_parameters(), 3e-3, 1e-3, ("out.",))
    assert inner["matrices"] and [p is layers["middle"].weight for p in inner["params"]] == [True]
    assert len(others["params"]) == 3 and (inner["lr"], others["lr"]) == (3e-3, 1e-3)
