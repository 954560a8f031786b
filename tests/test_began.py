"""began.py: the controller, the losses, who learns from what, and that it learns."""

import csv

import pytest
import torch
from conftest import ROOT
from torch import nn

import began
import common


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


def pair(**changes) -> tuple[began.Generator, began.Discriminator, began.Hyperparameters]:
    hp = began.Hyperparameters(image_size=28, channels=1, **changes)
    torch.manual_seed(0)
    return began.Generator(hp), began.Discriminator(hp), hp


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_a_descent_of_each_player_moves_its_own_errors(network):
    G, D, hp = pair(network=network)
    z, x = common.noise(16, hp.z_dim), torch.rand(16, 1, 28, 28) * 2 - 1
    before = began.reconstruction_loss(D, G(z).detach(), 2).item()
    opt = torch.optim.SGD(G.parameters(), lr=1e-2)
    with common.frozen(D):
        began.reconstruction_loss(D, G(z), 2).backward()
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


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3)])
def test_networks_at_every_size(network, size, channels):
    for skip in (False, True):
        hp = began.Hyperparameters(
            image_size=size, channels=channels, network=network, skip=skip, n=4, G_n=6, h=8, z_dim=5
        )
        G, D = began.Generator(hp), began.Discriminator(hp)
        image = G(common.noise(2, 5))
        assert image.shape == D(image).shape == (2, channels, size, size)
        if network == "conv":
            forbidden = (nn.BatchNorm2d, nn.ConvTranspose2d, nn.Dropout)
            assert not any(isinstance(m, forbidden) for net in (G, D) for m in net.modules())


def test_stages():
    assert [began.stages(size) for size in (8, 28, 32, 64, 128)] == [0, 2, 2, 3, 4]


def test_a_short_training_on_real_digits(command_line, tmp_path):
    """M falls, k leaves 0 and stays in [0, 1], and D draws real digits better than the blank it could fall to."""
    code, _, err = command_line("began", "--steps", 300, "--log-every", 20)
    assert code == 0, err
    rows = list(csv.DictReader((tmp_path / "out/began/log.csv").open()))
    M, k = ([float(row[name]) for row in rows] for name in ("M", "k"))
    assert M[-1] < 0.6 * M[0]
    assert all(0 <= value <= 1 for value in k)
    assert max(k) > 0
    assert k[-1] > 0
    assert float(rows[-1]["balance_target"]) == pytest.approx(began.Hyperparameters.gamma)


def test_D_learns_to_draw_before_the_convolutional_game(command_line, tmp_path, monkeypatch):
    """It ends as a better autoencoder of digits than it began, and k waits for G as long again."""
    drawn = []
    learn = began.learn_to_draw

    def watched(D, steps, run):
        x = run.real()
        before = began.reconstruction_loss(D, x, 2).item()
        learn(D, steps, run)
        drawn.append((before, began.reconstruction_loss(D, x, 2).item(), steps))

    monkeypatch.setattr(began, "learn_to_draw", watched)
    flags = ("--network", "conv", "--n", 4, "--G-n", 4, "--log-every", 1, "--batch-size", 16)
    assert command_line("began", *flags, "--head-start", 60, "--steps", 1)[0] == 0
    assert command_line("began", *flags, "--head-start", 3, "--steps", 6)[0] == 0
    assert command_line("began", *flags, "--head-start", 3, "--steps", 7, "--resume")[0] == 0
    assert len(drawn) == 2  # what is resumed has learned it
    assert drawn[0][1] < 0.6 * drawn[0][0]
    rows = list(csv.DictReader((tmp_path / "out/began/log.csv").open()))
    k = [float(row["k"]) for row in rows]
    assert k[:3] == pytest.approx([0.8] * 3)
    assert k[3] != pytest.approx(0.8, abs=1e-7)
    command_line("began", "--steps", 1)
    assert drawn[-1][2] == 0  # the MLPs need none of it


def test_the_learning_rate_halves_when_M_stalls(command_line, tmp_path):
    nothing_is_learned = ("--lr", "1e-12", "--D-lr", "1e-12")
    flags = ("--steps", 12, "--patience", 3, "--batch-size", 8, *nothing_is_learned)
    assert command_line("began", *flags)[0] == 0
    checkpoint = common.read_checkpoint(tmp_path / "out/began", "began", "cpu")
    for name in ("opt_G", "opt_D"):
        assert checkpoint["optimizers"][name]["param_groups"][0]["lr"] < 1e-12


def test_importing_does_nothing():
    assert not (ROOT / "tests" / "out").exists()
