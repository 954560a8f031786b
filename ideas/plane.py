"""All games in the plane: six generators learn one ring of eight Gaussians, by the losses of five lessons.

    GAN, f-GAN       D judges: it learns log p/q, each row of fgan.py's table on its own scale
    WGAN, WGAN-GP    a critic whose slope is bounded: by clipping, by a penalty
    BEGAN            the lines are those of L(v), the error of an autoencoder; G goes where it is low

Known: there are eight modes, and 98.9 % of a two-dimensional Gaussian lie within 3σ. The networks are small and the
steps few: no ranking. (WGAN's critic has more steps, as clipping makes it slow.)

python -m ideas.plane        writes out/ideas/plane.gif, and its last picture as out/ideas/plane.png
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.optim.lr_scheduler import LinearLR

import began
import dcgan
import fgan
import wgan
import wgan_gp
from ideas import FAKE, GREY, REAL, TRUTH, Options, command, new_figure, print_table, save, styled
from ideas.toys import Networks, modes_covered, ring, save_gif, update
from training.terminal import read_flags

SIGMA, STEPS, FRAMES, BATCH = 0.15, 900, 32, 128  # σ of each Gaussian
CLIP, N_CRITIC, LAMBDA_GP, GAMMA, LAMBDA_K, ETA = 0.1, 3, 1.0, 1.0, 0.005, 2


def f_gan(name: str) -> tuple:
    """As in fgan.py, V is an asinh; without its penalty."""
    row = fgan.DIVERGENCES[name]
    loss_D = lambda real, made: fgan.critic_loss(row, real.asinh(), made.asinh())  # noqa: E731
    return loss_D, lambda made: fgan.generator_loss(row, made.asinh())


GAMES = {  # D's loss and G's; WGAN and BEGAN have networks of their own
    "GAN": (dcgan.discriminator_loss, dcgan.generator_loss),
    "WGAN-GP": (wgan_gp.critic_loss, wgan_gp.generator_loss),
    "f-GAN, kl": f_gan("kl"),
    "f-GAN, reverse_kl": f_gan("reverse_kl"),
}
NAMES = [*GAMES, "WGAN", "BEGAN"]


class Games:
    """Six G side by side, four D, WGAN's critic, BEGAN's autoencoder."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.G, self.D = Networks(6, 2, 64, 64, 2, activation=F.relu), Networks(4, 2, 64, 64, 1)
        self.critic = Networks(1, 2, 64, 64, 1, activation=lambda x: F.leaky_relu(x, 0.2))
        self.draw_again = Networks(1, 2, 16, 2, activation=F.relu)
        self.opt_G = torch.optim.Adam(self.G.parameters(), 1e-3, betas=(0.0, 0.99), fused=True)
        params_D = [*self.D.parameters(), *self.draw_again.parameters()]
        self.opt_D = torch.optim.Adam(params_D, 6e-3, betas=(0.0, 0.99), fused=True)
        self.opt_critic = torch.optim.RMSprop(self.critic.parameters(), 3e-3, foreach=True)
        self.slower = [LinearLR(opt, 1, 0.1, STEPS) for opt in (self.opt_G, self.opt_D, self.opt_critic)]
        self.k, self.z = torch.tensor(0.6), torch.randn(400, 2).expand(6, -1, -1)

    def second(self, v: Tensor) -> Tensor:
        return self.D(v[None], slice(1, 2)).flatten()  # WGAN-GP's

    def error(self, v: Tensor) -> Tensor:
        return began.reconstruction_loss(lambda v: self.draw_again(v[None])[0], v, ETA)

    def losses_G(self, fake: Tensor) -> list[Tensor]:
        losses = [loss_G(d) for (_, loss_G), d in zip(GAMES.values(), self.D(fake[:4]).squeeze(2))]
        return [*losses, wgan.generator_loss(self.critic(fake[4:5])), self.error(fake[5])]

    def step(self) -> None:
        x, fake = ring(BATCH, SIGMA), self.G(torch.randn(BATCH, 2).expand(6, -1, -1))
        made = fake.detach()
        d_real, d_made = self.D(torch.cat([x.expand(4, -1, -1), made[:4]], dim=1)).squeeze(2).chunk(2, dim=1)
        loss_D = sum(loss(*d) for (loss, _), *d in zip(GAMES.values(), d_real, d_made))
        loss_D = loss_D + LAMBDA_GP * wgan_gp.gradient_penalty(self.second, x, made[1], torch.rand(BATCH, 1))[0]
        L_real, L_fake = self.error(x), self.error(made[5])
        update(self.opt_D, loss_D + began.discriminator_loss(L_real, L_fake, self.k))
        for _ in range(N_CRITIC):
            made = self.G(torch.randn(1, BATCH, 2), slice(4, 5)).detach()
            update(self.opt_critic, wgan.critic_loss(self.critic(ring(BATCH, SIGMA)[None]), self.critic(made)))
            wgan.clip_weights(self.critic, CLIP)
        update(self.opt_G, sum(self.losses_G(fake)))
        self.k = began.update_k(self.k, began.balance_error(L_real, L_fake, GAMMA).detach(), LAMBDA_K)
        for schedule in self.slower:
            schedule.step()

    def look(self, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each game: samples, where G's loss would have them go (−∂loss/∂sample), and D (BEGAN: L) on a grid."""
        fake = self.G(self.z).detach().requires_grad_()
        arrows = -torch.autograd.grad(sum(self.losses_G(fake)), fake)[0]
        with torch.no_grad():
            D = self.D(grid.expand(4, -1, -1)), self.critic(grid[None]), torch.func.vmap(self.error)(grid[:, None])
        return fake.detach(), arrows, torch.cat([values.view(-1, len(grid)) for values in D])


@styled
def draw(seed: int, steps: int = STEPS) -> tuple[Figure, list[Image.Image], list[tuple]]:
    """Trains all games; the last picture as a figure, the pictures on the way, and what each G covers at the end."""
    games, figure = Games(seed), new_figure("Six games, one ring of eight Gaussians", width=8, height=6.4)
    words = "blue: data   orange: samples   lines: D (BEGAN: L)   arrows: where G's loss sends them"
    figure.supxlabel(words, fontsize=11)
    figure.set_dpi(75)  # of the moving picture
    canvas, panels, data = FigureCanvasAgg(figure), figure.subplots(2, 3).flat, ring(400, SIGMA)
    for axes in panels:
        axes.plot(*data.T, ".", color=REAL, markersize=4)
        axes.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal", title="\n")
        axes.spines[:].set_visible(True)
    side, pictures, drawn = torch.linspace(-3, 3, 41), [], []
    when = [round(steps * (i / (FRAMES - 1)) ** 1.5) for i in range(FRAMES)]  # more pictures at the beginning
    for step in range(steps + 1):
        if step in when:
            for artist in drawn:
                artist.remove()
            drawn, covered, looks = [], [], games.look(torch.cartesian_prod(side, side))
            for i, name, samples, arrows, values in zip((0, 2, 3, 4, 1, 5), NAMES, *looks):
                covered.append(modes_covered(samples, SIGMA))
                panels[i].set_title("{}\n{} modes, {:.0%} near one".format(name, *covered[-1]), fontsize=12)
                drawn.append(panels[i].contour(side, side, values.view(41, 41).T, 8, colors=GREY, linewidths=0.8))
                drawn += panels[i].plot(*samples.T, ".", color=FAKE, markersize=3)
                arrows = (arrows / arrows.norm(dim=1, keepdim=True))[:24].T  # their length says nothing
                drawn.append(panels[i].quiver(*samples[:24].T, *arrows, color=TRUTH, scale=11, width=9e-3, zorder=3))
            canvas.draw()
            figure.set_layout_engine("none")  # the first picture has set it
            pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
        games.step()
    figure.suptitle(f"Six games, one ring of eight Gaussians: {[c[0] for c in covered].count(8)} find it all")
    return figure, pictures, covered


@command
def main() -> None:
    options = read_flags(Options, "python -m ideas.plane", __doc__)
    figure, pictures, covered = draw(options.seed)
    near = f"8, {1 - math.exp(-4.5):.0%}"
    print_table([(f"{name}: modes, near one", near, "{}, {:.0%}".format(*c)) for name, c in zip(NAMES, covered)])
    save(figure, options.out / "plane.png")
    save_gif(pictures, options.out / "plane.gif", (TRUTH, REAL, FAKE, GREY))


if __name__ == "__main__":
    main()
