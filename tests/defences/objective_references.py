"""The published algorithms of robust training, each written down by hand in a few lines.

They are of the papers and of their authors' code, not of ours, and know no ball but their own
clipping. They draw the same numbers as ours do. Each adds the gradients of a batch, and returns what
is to be undone after the optimiser's step, where something is.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch.autograd import grad
from torch.nn import functional

from saddlepoint.threat import L2, Linf

STEPS, ALPHA, BETA, LAM, GAMMA = 3, 0.04, 6.0, 5.0, 1e-2


@dataclass(frozen=True)
class Ball:
    """A ball around x within [0, 1]; the images of the Euclidean one stay away from 0 and 1."""

    eps: float
    p: float

    def threat(self):
        return Linf(self.eps) if self.p == torch.inf else L2(self.eps)

    def start(self, batch):
        x = batch.images
        if self.p == torch.inf:
            u = batch.keys.uniform(x.shape[1:]).double()
            return (x + self.eps * (2 * u - 1)).clamp(0, 1)
        return L2(self.eps).random_start(x, batch.keys)

    def direction(self, g):
        return (
            g.sign() if self.p == torch.inf else g / g.flatten(1).norm(dim=1)[:, None, None, None]
        )

    def step(self, x, w, g, alpha):
        delta = w + alpha * self.direction(g) - x
        if self.p == torch.inf:
            return x + torch.maximum(torch.minimum(delta.clamp(-self.eps, self.eps), 1 - x), -x)
        size = delta.flatten(1).norm(dim=1)[:, None, None, None]
        return x + delta * (self.eps / size).clamp(max=1)


LINF, EUCLID = Ball(0.1, torch.inf), Ball(0.5, 2.0)


def ce(labels):
    return lambda logits: functional.cross_entropy(logits, labels)


def noisy(batch):
    return batch.images + 1e-3 * batch.keys.normal(batch.images.shape[1:]).double()


def input_gradient(net, w, loss):
    w = w.detach().requires_grad_()
    return grad(loss(net(w)), w)[0]


def attacker(net, mode, statistics="descent"):
    """The network whose passes find the perturbation: itself only where they move its statistics."""
    return net if statistics == "published" else copy.deepcopy(net).train(mode == "train")


def pgd(net, batch, ball, loss, w, steps=STEPS, alpha=ALPHA):
    for _ in range(steps):
        w = ball.step(batch.images, w, input_gradient(net, w, loss), alpha)
    return w


def standard(net, batch, memory, smoothing=0.1):
    logp = net(batch.images).log_softmax(1)
    own = logp[torch.arange(len(logp)), batch.labels]
    (-(1 - smoothing) * own - smoothing * logp.mean(1)).mean().backward()


def pgd_at(ball, mode="eval"):
    def reference(net, batch, memory):
        w = pgd(attacker(net, mode), batch, ball, ce(batch.labels), ball.start(batch))
        ce(batch.labels)(net(w)).backward()

    return reference


def mixed(net, batch, memory):
    g = input_gradient(attacker(net, "eval"), batch.images, ce(batch.labels))
    adversarial = LINF.step(batch.images, batch.images, g, LINF.eps)
    clean = functional.cross_entropy(net(batch.images), batch.labels, label_smoothing=0.1)
    moved = functional.cross_entropy(net(adversarial), batch.labels, label_smoothing=0.1)
    (0.3 * clean + 0.7 * moved).backward()


def fgsm_rs(ball, mode, statistics):
    def reference(net, batch, memory):
        w, loss = ball.start(batch), ce(batch.labels)
        g = input_gradient(attacker(net, mode, statistics), w, loss)
        loss(net(ball.step(batch.images, w, g, 1.25 * ball.eps))).backward()

    return reference


def n_fgsm(mode, statistics):
    def reference(net, batch, memory):
        x, loss = batch.images, ce(batch.labels)
        u = batch.keys.uniform(x.shape[1:]).double()
        w = (x + 2 * LINF.eps * (2 * u - 1)).clamp(0, 1)
        g = input_gradient(attacker(net, mode, statistics), w, loss)
        loss(net((w + LINF.eps * g.sign()).clamp(0, 1))).backward()

    return reference


def free(net, batch, memory):
    x, n = batch.images, len(batch.images)
    delta = memory.setdefault("delta", torch.zeros_like(x))
    w = (x + delta[:n]).clamp(0, 1).requires_grad_()
    loss = functional.cross_entropy(net(w), batch.labels, label_smoothing=0.1)
    loss.backward()
    stepped = (delta[:n] + LINF.eps * w.grad.sign()).clamp(-LINF.eps, LINF.eps)
    memory["delta"] = torch.cat([(x + stepped).clamp(0, 1) - x, delta[n:]])


def hamiltonian_steps(f0, p, x, w, n, ball, clamped=False):
    for _ in range(n):
        inside = (w >= 0) & (w <= 1)  # with the bounds, as torch 1.0's clamp had it
        g = input_gradient(
            lambda w, inside=inside: f0(
                torch.where(inside, w, w.detach().clamp(0, 1)) if clamped else w
            ),
            w,
            lambda z: (p * z).sum(),
        )
        w = ball.step(x, w, g, ball.eps / 4)
    return w


def yopo(mode, k, m=2, n=3, ball=LINF):
    def full(net, batch, w, count_f0):
        z = net[:k](w)
        leaf = z.detach().requires_grad_()
        ce(batch.labels)(net[k:](leaf)).backward()
        if count_f0:
            z.backward(leaf.grad)
        return leaf.grad

    def end(net, w, p):
        names, weights = zip(*net[:k].named_parameters(), strict=True)
        twin = copy.deepcopy(net[:k])  # whose statistics move in the place of the network's
        found = grad((p * twin(w)).sum(), [twin.get_parameter(name) for name in names])
        for weight, g in zip(weights, found, strict=True):
            weight.grad = g if weight.grad is None else weight.grad + g

    def corrected_code(net, batch, memory):
        w = ball.start(batch)
        for _ in range(m):
            p = full(net, batch, w, False)
            w = hamiltonian_steps(copy.deepcopy(net[:k]), p, batch.images, w, n, ball)
            end(net, w, p)

    def paper(net, batch, memory):
        w = ball.start(batch)
        twin = copy.deepcopy(net)  # whose statistics move: this pass descends nothing
        z = twin[:k](w).detach().requires_grad_()
        p = grad(ce(batch.labels)(twin[k:](z)), z)[0]
        for _ in range(m):
            w = hamiltonian_steps(copy.deepcopy(net[:k]), p, batch.images, w, n, ball)
            p = full(net, batch, w, True)

    def as_coded(net, batch, memory):
        x = batch.images
        w = x + ball.eps * (2 * batch.keys.uniform(x.shape[1:]).double() - 1)
        for _ in range(m):
            p = full(net, batch, w, True)
            w = hamiltonian_steps(copy.deepcopy(net[:k]), p, x, w, n, ball, clamped=True)
            end(net, w, p)
        net(w)

    return {"corrected_code": corrected_code, "paper": paper, "as_coded": as_coded}[mode]


def divergence(probabilities):
    return lambda logits: functional.kl_div(logits.log_softmax(1), probabilities, reduction="sum")


def trades_attack(net, batch, ball):
    still = attacker(net, "eval")
    loss = divergence(still(batch.images).softmax(1).detach())
    return pgd(still, batch, ball, loss, noisy(batch))


def trades_loss(net, batch, w, beta=BETA, statistics="descent"):
    logits = net(batch.images)
    moved = net(w)
    target = net(batch.images) if statistics == "published" else logits
    return ce(batch.labels)(logits) + beta * divergence(target.softmax(1))(moved) / len(w)


def trades(ball, statistics):
    def reference(net, batch, memory):
        w = trades_attack(net, batch, ball)
        trades_loss(net, batch, w, statistics=statistics).backward()

    return reference


def trades_yopo(statistics, k=1, m=2, n=3):
    def reference(net, batch, memory):
        still = attacker(net, "eval")
        loss = divergence(still(batch.images).softmax(1).detach())
        w = noisy(batch)
        for _ in range(m):
            p = input_gradient(still[k:], still[:k](w), loss)
            w = hamiltonian_steps(still[:k], p, batch.images, w, n, LINF)
        trades_loss(net, batch, w, 1.0, statistics).backward()

    return reference


def mart_attack(net, batch):
    return pgd(attacker(net, "eval"), batch, LINF, ce(batch.labels), noisy(batch))


def mart_loss(net, batch, w):
    natural, moved = net(batch.images).softmax(1), net(w).softmax(1)
    rows, y = torch.arange(len(w)), batch.labels
    rival = torch.stack(
        [row[torch.arange(len(row)) != own].max() for row, own in zip(moved, y, strict=True)]
    )
    boosted = -moved[rows, y].log() - (1.0001 - rival + 1e-12).log()
    kl = (natural * (natural.log() - moved.log())).sum(1)
    return boosted.mean() + LAM * (kl * (1.0000001 - natural[rows, y])).sum() / len(w)


def mart(net, batch, memory):
    mart_loss(net, batch, mart_attack(net, batch)).backward()


def awp(attack, loss):
    def reference(net, batch, memory):
        w = attack(net, batch)
        proxy = copy.deepcopy(net)
        ascent = torch.optim.SGD(proxy.parameters(), lr=0.01)
        (-loss(proxy, batch, w)).backward()
        ascent.step()
        v = {}
        for (name, new), old in zip(proxy.named_parameters(), net.parameters(), strict=True):
            if old.ndim > 1:
                change = (new - old).detach()
                v[name] = GAMMA * old.norm().detach() * change / (change.norm() + 1e-20)
                old.data += v[name]
        loss(net, batch, w).backward()
        return lambda: [net.get_parameter(name).data.sub_(each) for name, each in v.items()]

    return reference


def pgd_attack(net, batch):
    return pgd(attacker(net, "eval"), batch, LINF, ce(batch.labels), LINF.start(batch))


def pgd_loss(net, batch, w):
    return ce(batch.labels)(net(w))


def hard_labels(net, batch, memory):
    ce(batch.labels)(net(batch.images) / 20).backward()


def distillation(net, batch, memory):
    (-(batch.soft * (net(batch.images) / 20).log_softmax(1)).sum(1)).mean().backward()
