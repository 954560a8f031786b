"""began.py, and what began_conv.py has of it: the controller, the losses, who learns from what, and that it learns."""

import csv
import math

import pytest
import torch
from torch import nn

import began
import began_conv
import common
from training.earlier import read_checkpoint


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize(
    ("k", "L_real", "L_fake", "gamma", "lambda_k", "expected"),
    [
        (0.2, 1.0, 0.3, 0.5, 0.1, 0.2 + 0.1 * (0.5 * 1.0 - 0.3)),  # fakes too easy: k rises
        (0.2, 1.0, 0.9, 0.5, 0.1, 0.2 + 0.1 * (0.5 * 1.0 - 0.9)),  # too hard: k falls
        (0.0, 0.1, 5.0, 0.5, 0.1, 0.0),  # clipped below
        (0.99, 9.0, 0.1, 0.5, 0.1, 1.0),  # clipped above
        (0.4, 1.0, 0.5, 0.5, 0.1, 0.4),  # balanced: k stays
    ],
)
def test_controller_by_hand(k, L_real, L_fake, gamma, lambda_k, expected):
    error = began.balance_error(scalar(L_real), scalar(L_fake), gamma)
    assert began.update_k(scalar(k), error, lambda_k).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("L_real", "L_fake", "M"), [(2.0, 0.4, 2.6), (2.0, 1.0, 2.0), (2.0, 3.0, 4.0)])
def test_convergence_by_hand(L_real, L_fake, M):
    error = began.balance_error(scalar(L_real), scalar(L_fake), 0.5)
    assert began.convergence(scalar(L_real), error).item() == pytest.approx(M)


def test_reconstruction_loss_by_hand():
    class Zero(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    v = torch.tensor([[1.0, -0.5], [0.0, 0.5]])
    assert began.reconstruction_loss(Zero(), v, 1).item() == pytest.approx(0.5)
    assert began.reconstruction_loss(Zero(), v, 2).item() == pytest.approx(1.5 / 4)


def test_gradient_signs():
    """D lowers L(x) and, with k > 0, raises L(G(z)); G lowers L(G(z))."""
    L_real, L_fake = scalar(1.0).requires_grad_(), scalar(2.0).requires_grad_()
    began.discriminator_loss(L_real, L_fake, scalar(0.3)).backward()
    assert L_real.grad.item() == pytest.approx(1.0)
    assert L_fake.grad.item() == pytest.approx(-0.3)


each = pytest.mark.parametrize("script", [began, began_conv], ids=lambda module: module.__name__)


@each
def test_a_descent_of_each_player_moves_its_own_errors(script):
    hp = script.Hyperparameters(image_size=28, channels=1)
    torch.manual_seed(0)
    G, D = script.Generator(hp), script.Discriminator(hp)
    z, x = common.noise(16, hp.z_dim), torch.rand(16, 1, 28, 28) * 2 - 1
    before = began.reconstruction_loss(D, G(z).detach(), 2).item()
    opt = torch.optim.SGD(G.parameters(), lr=1e-2)
    began.reconstruction_loss(D, G(z), 2).backward(inputs=list(G.parameters()))
    assert all(p.grad is None for p in D.parameters())
    opt.step()
    assert began.reconstruction_loss(D, G(z).detach(), 2).item() < before

    fake = G(z).detach()
    real_before, fake_before = (began.reconstruction_loss(D, v, 2).item() for v in (x, fake))
    opt = torch.optim.SGD(D.parameters(), lr=1e-3)
    losses = began.reconstruction_loss(D, x, 2), began.reconstruction_loss(D, fake, 2)
    began.discriminator_loss(*losses, 1.0).backward()
    opt.step()
    gap = began.reconstruction_loss(D, fake, 2).item() - began.reconstruction_loss(D, x, 2).item()
    assert gap > fake_before - real_before


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3)])
def test_networks_at_every_size(size, channels):
    hp = began.Hyperparameters(image_size=size, channels=channels, G_hidden=6, D_hidden=8, z_dim=5)
    G, D = began.Generator(hp), began.Discriminator(hp)
    image = G(common.noise(2, 5))
    assert image.shape == D(image).shape == (2, channels, size, size)


def test_a_short_training_on_real_digits(command_line, tmp_path):
    """M falls, k moves and stays in [0, 1], and D draws real digits better than the blank it could fall to."""
    code, _, err = command_line("began", "--steps", 300, "--log-every", 20)
    assert code == 0, err
    rows = list(csv.DictReader((tmp_path / "out/began/log.csv").open(encoding="utf-8")))
    M, k = ([float(row[name]) for row in rows] for name in ("M", "k"))
    assert M[-1] < 0.6 * M[0]
    assert all(0 <= value <= 1 for value in k)
    assert max(k) > 0
    assert k[-1] > 0
    assert float(rows[-1]["balance_target"]) == pytest.approx(began.Hyperparameters.gamma)


def test_the_learning_rate_halves_when_M_stalls(command_line, tmp_path):
    nothing_is_learned = ("--lr-G", "1e-12", "--lr-D", "1e-12")
    flags = ("--steps", 12, "--patience", 3, "--batch-size", 8, *nothing_is_learned)
    assert command_line("began", *flags)[0] == 0
    checkpoint = read_checkpoint(tmp_path / "out/began", "began")
    for name in ("opt_G", "opt_D"):
        assert checkpoint["optimizers"][name]["param_groups"][0]["lr"] < 1e-12


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_in_a_run_k_follows_the_balance(gamma, command_line, tmp_path):
    flags = ("--steps", 6, "--log-every", 1, "--batch-size", 16, "--gamma", gamma, "--precision", "float32")
    assert command_line("began", *flags)[0] == 0
    k = began.Hyperparameters.k_start
    for row in csv.DictReader((tmp_path / "out/began/log.csv").open(encoding="utf-8")):
        error = gamma * float(row["L_real"]) - float(row["L_fake"])
        k = min(1, max(0, k + began.Hyperparameters.lambda_k * error))
        assert float(row["k"]) == pytest.approx(k, abs=1e-6)


@each
def test_the_learning_rate_halves_unless_the_mean_of_M_is_the_lowest(script):
    optimizers = [torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr) for lr in (1.0, 4.0)]
    mean, best, found = torch.zeros(()), torch.full((), math.inf), []
    for step, M in enumerate((3, 1, 2, 2, 1, 2, 2, 1, 0, 1), 1):  # means of two: 2, 2, 1.5, 1.5, 0.5
        script.halve_lr_on_plateau(step, 2, torch.tensor(float(M)), mean, best, *optimizers)
        found.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])
    assert found == [[1, 4]] * 3 + [[0.5, 2]] * 4 + [[0.25, 1]] * 3
