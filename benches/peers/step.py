"""A step of training as the peers make it, the same on a processor and on a GPU: KataGo-shaped losses, SGD with Nesterov momentum."""
import torch
import torch.nn.functional as F

import net as ours


def inputs(batch, board, device="cpu", memory_format=torch.contiguous_format):
    """Planes with a third of their bits set, and globals."""
    generator = torch.Generator().manual_seed(0)
    planes = (torch.rand(batch, ours.PLANES, board, board, generator=generator) < 0.33).float()
    planes[:, 0] = 1
    return planes.to(device).to(memory_format=memory_format), torch.zeros(batch, ours.GLOBALS, device=device)


def trainer(model, run, planes, glob, autocast, fused=None):
    """A function that makes one step of `model`, through `run`: the model itself, or what was compiled of it."""
    model.train()
    batch, board, device = planes.shape[0], planes.shape[-1], planes.device
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=fused)
    target = torch.full((batch,), 5, device=device)
    owner = torch.full((batch, board * board), 0.5, device=device)
    score = torch.full((batch,), 0.05, device=device)

    def step():
        optimiser.zero_grad(set_to_none=True)
        with autocast():
            p, v, s, o = run(planes, glob)
        p, v, s, o = p.float(), v.float(), s.float(), o.float()
        error = s[:, 0] - score
        spread = F.softplus(s[:, 1]) - 1.2533 * error.detach().abs()
        zeros = torch.zeros_like(score)
        loss = F.cross_entropy(p, target) + F.cross_entropy(v, torch.zeros_like(target))
        loss = loss + 0.2 * (F.huber_loss(s[:, 0], score) + F.huber_loss(spread, zeros) + F.huber_loss(s[:, 2], score))
        loss = loss + 0.3 * F.binary_cross_entropy_with_logits(2 * o, owner)
        loss.backward()
        optimiser.step()

    return step
