"""Our network in PyTorch: KataGo's model version 8 (pre-activation trunk, global pooling, V7 inputs), any sizes.

`preset(name)` builds the shapes of src/net/config.rs with random weights, `load(path)` reads a .bin.gz file.
Inputs: planes [n, 22, h, w], globals [n, 19]; plane 0 is the board's mask.
Outputs: policy [n, h*w + 1] (pass last), value [n, 3], score [n, s], ownership [n, h*w], all before any post-processing."""
import gzip

import torch
from torch import nn

PLANES, GLOBALS, SCORES = 22, 19, 4


class Norm(nn.Module):
    """Batch norm, ReLU, and zero off the board."""

    def __init__(self, c, epsilon=1e-4):
        super().__init__()
        self.norm = nn.BatchNorm2d(c, eps=epsilon)

    def forward(self, x, mask):
        return torch.relu(self.norm(x)) * mask


def conv(kernel, c_in, c_out):
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)


def pooled(x, mask, points):
    """Mean, mean * (sqrt(points) - 14) / 10, maximum."""
    mean = x.sum((2, 3)) / points
    r = torch.sqrt(points) - 14
    return torch.cat([mean, mean * r * 0.1, (x + (mask - 1)).amax((2, 3))], 1)


def value_pooled(x, points):
    mean = x.sum((2, 3)) / points
    r = torch.sqrt(points) - 14
    return torch.cat([mean, mean * r * 0.1, mean * (r * r * 0.01 - 0.1)], 1)


class Ordinary(nn.Module):
    def __init__(self, c, mid):
        super().__init__()
        self.norm1, self.conv1 = Norm(c), conv(3, c, mid)
        self.norm2, self.conv2 = Norm(mid), conv(3, mid, c)

    def forward(self, t, mask, points):
        return t + self.conv2(self.norm2(self.conv1(self.norm1(t, mask)), mask))


class Gpool(nn.Module):
    def __init__(self, c, regular, pool):
        super().__init__()
        self.norm1, self.conv1, self.conv_pool = Norm(c), conv(3, c, regular), conv(3, c, pool)
        self.norm_pool, self.matmul = Norm(pool), nn.Linear(3 * pool, regular, bias=False)
        self.norm2, self.conv2 = Norm(regular), conv(3, regular, c)

    def forward(self, t, mask, points):
        u = self.norm1(t, mask)
        g = pooled(self.norm_pool(self.conv_pool(u), mask), mask, points)
        r = self.conv1(u) + self.matmul(g)[:, :, None, None]
        return t + self.conv2(self.norm2(r, mask))


class Net(nn.Module):
    """`blocks`: for each block the channels of its middle, or (regular, pooled)."""

    def __init__(self, channels, blocks, head, hidden, kernel_in=3, scores=SCORES):
        super().__init__()
        c, h = channels, head
        self.conv_in, self.matmul_in = conv(kernel_in, PLANES, c), nn.Linear(GLOBALS, c, bias=False)
        self.blocks = nn.ModuleList(Gpool(c, *b) if isinstance(b, tuple) else Ordinary(c, b) for b in blocks)
        self.norm_tip = Norm(c)
        self.policy_point, self.policy_pool = conv(1, c, h), conv(1, c, h)
        self.policy_norm_pool, self.policy_bias = Norm(h), nn.Linear(3 * h, h, bias=False)
        self.policy_norm, self.policy_out = Norm(h), conv(1, h, 1)
        self.policy_pass = nn.Linear(3 * h, 1, bias=False)
        self.value_conv, self.value_norm = conv(1, c, h), Norm(h)
        self.value_hidden, self.value_out = nn.Linear(3 * h, hidden), nn.Linear(hidden, 3)
        self.score_out, self.ownership = nn.Linear(hidden, scores), conv(1, h, 1)

    def forward(self, planes, glob):
        mask = planes[:, :1]
        points = mask.sum((2, 3))
        t = self.conv_in(planes) + self.matmul_in(glob)[:, :, None, None]
        for block in self.blocks:
            t = block(t, mask, points)
        z = self.norm_tip(t, mask)
        g = pooled(self.policy_norm_pool(self.policy_pool(z), mask), mask, points)
        p = self.policy_point(z) + self.policy_bias(g)[:, :, None, None]
        p = self.policy_out(self.policy_norm(p, mask)).flatten(1)
        v = self.value_norm(self.value_conv(z), mask)
        h = torch.relu(self.value_hidden(value_pooled(v, points)))
        return torch.cat([p, self.policy_pass(g)], 1), self.value_out(h), self.score_out(h), self.ownership(v).flatten(1)


def preset(name):
    """The shapes of `b{blocks}c{channels}`."""
    n_blocks, c = (int(x) for x in name[1:].split("c"))
    up8 = lambda x: -(-x // 8) * 8
    pool = up8(-(-c // 4))
    head = min(max(up8(c // 3), 16), 48)
    blocks = [(c - pool, pool) if i % 3 == 1 else c for i in range(n_blocks)]
    torch.manual_seed(1)
    return Net(c, blocks, head, 2 * head)


class Tokens:
    def __init__(self, path):
        self.data, self.at = gzip.open(path).read(), 0

    def word(self):
        data, at = self.data, self.at
        while data[at] in b" \n\t\r":
            at += 1
        end = at
        while end < len(data) and data[end] not in b" \n\t\r":
            end += 1
        self.at = end
        return data[at:end].decode()

    def ints(self, n):
        return [int(self.word()) for _ in range(n)]

    def floats(self, n):
        at = self.data.index(b"@BIN@", self.at) + 5
        self.at = at + 4 * n
        return torch.frombuffer(bytearray(self.data[at : self.at]), dtype=torch.float32)

    def conv(self):
        self.word()
        ky, kx, c_in, c_out, _, _ = self.ints(6)
        return self.floats(ky * kx * c_in * c_out).view(ky, kx, c_in, c_out).permute(3, 2, 0, 1).contiguous()

    def norm(self):
        self.word()
        (c,), epsilon = self.ints(1), float(self.word())
        scale, bias = self.ints(2)
        mean, variance = self.floats(c), self.floats(c)
        gamma = self.floats(c) if scale else torch.ones(c)
        beta = self.floats(c) if bias else torch.zeros(c)
        self.word()  # the activation's name
        return mean, variance, gamma, beta, epsilon

    def matmul(self):
        self.word()
        c_in, c_out = self.ints(2)
        return self.floats(c_in * c_out).view(c_in, c_out).t().contiguous()

    def bias(self):
        self.word()
        return self.floats(self.ints(1)[0])


def fill(module, values):
    if isinstance(module, Norm):
        mean, variance, gamma, beta, epsilon = values
        module.norm.running_mean.copy_(mean), module.norm.running_var.copy_(variance)
        module.norm.weight.data.copy_(gamma), module.norm.bias.data.copy_(beta)
        module.norm.eps = epsilon
    else:
        module.weight.data.copy_(values)


def load(path):
    """Reads a model file of version 8 with ordinary and pooling blocks."""
    t = Tokens(path)
    t.word()
    version, _, _ = t.ints(3)
    assert version == 8, f"{path}: version {version}, expected 8"
    t.word()
    n_blocks, c = t.ints(2)
    t.ints(4)
    first, matmul_in = t.conv(), t.matmul()
    shapes, parts = [], []
    for _ in range(n_blocks):
        kind = t.word()
        t.word()
        if kind == "ordinary_block":
            names, values = ["norm1", "conv1", "norm2", "conv2"], [t.norm(), t.conv(), t.norm(), t.conv()]
            shapes.append(values[1].shape[0])
        else:
            names = ["norm1", "conv1", "conv_pool", "norm_pool", "matmul", "norm2", "conv2"]
            values = [t.norm(), t.conv(), t.conv(), t.norm(), t.matmul(), t.norm(), t.conv()]
            shapes.append((values[1].shape[0], values[2].shape[0]))
        parts.append(dict(zip(names, values)))
    tip = t.norm()
    t.word()
    head = {"policy_point": t.conv(), "policy_pool": t.conv(), "policy_norm_pool": t.norm(), "policy_bias": t.matmul()}
    head |= {"policy_norm": t.norm(), "policy_out": t.conv(), "policy_pass": t.matmul()}
    t.word()
    head |= {"value_conv": t.conv(), "value_norm": t.norm()}
    biases = {}
    for name in ["value_hidden", "value_out", "score_out"]:
        head[name], biases[name] = t.matmul(), t.bias()
        if name == "value_hidden":
            t.word()  # the activation's name
    head["ownership"] = t.conv()
    net = Net(c, shapes, head["policy_point"].shape[0], biases["value_hidden"].numel(), first.shape[2], biases["score_out"].numel())
    with torch.no_grad():
        fill(net.conv_in, first), fill(net.matmul_in, matmul_in), fill(net.norm_tip, tip)
        for block, values in zip(net.blocks, parts):
            for name, v in values.items():
                fill(getattr(block, name), v)
        for name, v in head.items():
            fill(getattr(net, name), v)
        for name, v in biases.items():
            getattr(net, name).bias.data.copy_(v)
    return net.eval()


def check(folder):
    """Compares with KataGo's answers; returns the worst difference of a logit."""
    import json
    import os

    net = load(os.path.join(folder, "g170-b6c96-s175395328-d26788732.bin.gz"))
    rows = {r["id"]: r for r in map(json.loads, open(os.path.join(folder, "v7_rows.jsonl")))}
    worst, n = 0.0, 0
    for truth in map(json.loads, open(os.path.join(folder, "logits.jsonl"))):
        row, s = rows[truth["id"]], rows[truth["id"]]["nn_len"]
        bits = [[int(b) for b in bin(int("1" + h, 16))[3 : 3 + s * s]] for h in row["planes"]]
        planes = torch.tensor(bits, dtype=torch.float32).view(1, PLANES, s, s)
        with torch.inference_mode():
            policy, value, score, ownership = net(planes, torch.tensor([row["global"]], dtype=torch.float32))
        pairs = [(policy[0, :-1], truth["policy"]), (policy[0, -1:], [truth["pass"]]), (value[0], truth["value"])]
        pairs += [(score[0], truth["score"]), (ownership[0], truth["ownership"])]
        worst = max(worst, *(float((a - torch.tensor(b)).abs().max()) for a, b in pairs))
        n += 1
    return n, worst


if __name__ == "__main__":
    import os
    import sys

    data = os.environ.get("EDGEZERO_DATA", os.path.join(os.path.dirname(__file__), "../../../shared"))
    n, worst = check(os.path.join(data, "katago"))
    print(f"{n} positions, worst difference of a logit {worst:.1e}")
    sys.exit(worst > 1e-3)
