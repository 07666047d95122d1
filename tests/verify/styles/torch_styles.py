"""PyTorch by autodiff: tensor expressions, and torch's own functions where those are accurate."""

import torch
from torch.nn import functional


def power_of_two(size):
    """2^-e, detached, with size * 2^-e near 1, as far as that is a normal number."""
    most = 100 if size.dtype == torch.float32 else 1000
    _, e = torch.frexp(size.detach())
    return torch.ldexp(torch.ones_like(size), (-e).clamp(-most, most))


def guarded_root(squares):
    """sqrt, with value and gradient 0 at 0."""
    zero = squares == 0
    return torch.where(zero, 0.0, torch.sqrt(torch.where(zero, 1.0, squares)))


class RowLoss(torch.autograd.Function):
    """log1p(S) - a_label of each row, whose gradient at the label is minus the sum of the other probabilities."""

    @staticmethod
    def forward(ctx, logits, labels):
        top = logits.argmax(1, keepdim=True)
        a = logits - logits.gather(1, top)
        powers = a.exp()
        others = powers.scatter(1, top, 0.0).sum(1, keepdim=True)
        ctx.save_for_backward(powers, others, labels)
        return (torch.log1p(others) - a.gather(1, labels[:, None]))[:, 0]

    @staticmethod
    def backward(ctx, dy):
        powers, others, labels = ctx.saved_tensors
        label = labels[:, None]
        rest = powers.scatter(1, label, 0.0).sum(1, keepdim=True)
        return powers.scatter(1, label, -rest) / (1 + others) * dy[:, None], None


class LogSum(torch.autograd.Function):
    """log sum exp of each row less its maximum, log1p(S), whose gradient is the probabilities."""

    @staticmethod
    def forward(ctx, logits):
        top = logits.argmax(1, keepdim=True)
        powers = (logits - logits.gather(1, top)).exp()
        others = powers.scatter(1, top, 0.0).sum(1, keepdim=True)
        ctx.save_for_backward(powers / (1 + others))
        return torch.log1p(others)

    @staticmethod
    def backward(ctx, dy):
        (p,) = ctx.saved_tensors
        return p * dy


class Broadcast:
    """Tensor expressions alone."""

    def squared_euclidean(self, x, c):
        return ((x[:, None] - c[None]) ** 2).sum(-1)

    def leaky_squared_euclidean(self, x, c, *, threshold, slope, per="pair"):
        squares = (x[:, None] - c[None]) ** 2
        d = squares.sum(-1) if per == "pair" else squares
        restricted = torch.where(d <= threshold, d, threshold + slope * (d - threshold))
        return restricted if per == "pair" else restricted.sum(-1)

    def restricted_squared_euclidean(self, x, c, *, restriction, per="pair"):
        squares = (x[:, None] - c[None]) ** 2
        d = squares.sum(-1) if per == "pair" else squares
        restricted = self._restricted(d, restriction)
        return restricted if per == "pair" else restricted.sum(-1)

    def _restricted(self, d, restriction):
        """r(d) of a built-in restriction, by its name."""
        p, kind = restriction.parameters, type(restriction).__name__
        if kind == "Log":
            return p["scale"] * torch.log1p(d / p["scale"])
        t = p["threshold"]
        if kind == "Leak":
            return torch.where(d <= t, d, t + p["slope"] * (d - t))
        return torch.where(d <= t, d, 2 * t**0.5 * torch.where(d <= t, 1.0, d).sqrt() - t)

    def euclidean(self, x, c):
        difference = x[:, None] - c[None]
        power = power_of_two(difference.abs().amax(-1, keepdim=True))
        return (guarded_root(((difference * power) ** 2).sum(-1, keepdim=True)) / power)[..., 0]

    def _unit(self, vectors):
        scaled = vectors * power_of_two(vectors.abs().amax(-1, keepdim=True))
        squares = (scaled**2).sum(-1, keepdim=True)
        zero = squares == 0
        return torch.where(zero, 0.0, scaled / torch.where(zero, 1.0, squares).sqrt())

    def cosine_distance(self, x, c):
        return 1 - (self._unit(x)[:, None] * self._unit(c)[None]).sum(-1)

    def prototypes(self, z, labels, n_classes):
        return torch.stack([z[labels == m].mean(0) for m in range(n_classes)])

    def log_softmax(self, logits):
        return (logits - logits.amax(1, keepdim=True).detach()) - LogSum.apply(logits)

    def cross_entropy(self, logits, labels):
        return RowLoss.apply(logits, labels).mean()

    def distance_cross_entropy(self, x, c, labels, *, distance):
        return self.cross_entropy(-getattr(self, distance.operation)(x, c, **distance.parameters), labels)

    def prototypical_loss(self, support, support_labels, query, query_labels, *, distance):
        centres = self.prototypes(support, support_labels, int(support_labels.max()) + 1)
        d = getattr(self, distance.operation)(query, centres, **distance.parameters)
        return self.cross_entropy(-d, query_labels)

    def conv2d(self, x, w):
        padded = functional.pad(x, (0, 0, 1, 1, 1, 1))
        height, width = x.shape[1:3]
        taps = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return (torch.stack(taps, 3)[..., None] * w.reshape(9, *w.shape[2:])).sum((3, 4))

    def batch_norm(self, x, scale, shift, *, eps=1e-5):
        rows = x.reshape(-1, x.shape[-1])
        power = power_of_two((rows - rows.mean(0)).abs().amax(0)).clamp(max=1.0)
        scaled = rows * power
        mean = scaled.mean(0)
        centred = scaled - mean
        variance = (centred**2).mean(0)
        y = centred / (variance + eps * power**2).sqrt() * scale + shift
        return y.reshape(x.shape), mean / power, variance / power / power

    def batch_norm_inference(self, x, scale, shift, mean, variance, *, eps=1e-5):
        return (x - mean) / (variance + eps).sqrt() * scale + shift

    def relu(self, x):
        return torch.where(x > 0, x, 0.0)

    def max_pool2d(self, x):
        height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
        best, *others = (x[:, i:height:2, j:width:2] for i in range(2) for j in range(2))
        for other in others:
            best = torch.where(other > best, other, best)
        return best

    def conv_block(self, x, w, scale, shift, *, eps=1e-5):
        y, mean, variance = self.batch_norm(self.conv2d(x, w), scale, shift, eps=eps)
        return self.max_pool2d(self.relu(y)), mean, variance

    def conv_block_inference(self, x, w, scale, shift, mean, variance, *, eps=1e-5):
        return self.max_pool2d(
            self.relu(self.batch_norm_inference(self.conv2d(x, w), scale, shift, mean, variance, eps=eps))
        )


class Functions(Broadcast):
    """torch's own functions. Those that lose digits (cdist, cosine_similarity, log_softmax) are left out."""

    def squared_euclidean(self, x, c):
        return torch.sub(x[:, None], c[None]).square().sum(-1)

    def leaky_squared_euclidean(self, x, c, *, threshold, slope, per="pair"):
        squares = torch.sub(x[:, None], c[None]).square()
        d = squares.sum(-1) if per == "pair" else squares
        most = min(threshold, torch.finfo(d.dtype).max)
        restricted = d.clamp(max=most) + slope * functional.relu(d - most)
        return restricted if per == "pair" else restricted.sum(-1)

    def restricted_squared_euclidean(self, x, c, *, restriction, per="pair"):
        squares = torch.sub(x[:, None], c[None]).square()
        if per == "coordinate":
            return self._restricted(squares, restriction).sum(-1)
        return self._restricted(squares.sum(-1), restriction)

    def euclidean(self, x, c):
        difference = x[:, None] - c[None]
        power = power_of_two(difference.abs().amax(-1, keepdim=True))
        return (torch.linalg.vector_norm(difference * power, dim=-1, keepdim=True) / power)[..., 0]

    def _unit(self, vectors):
        scaled = vectors * power_of_two(vectors.abs().amax(-1, keepdim=True))
        zero = (scaled == 0).all(-1, keepdim=True)
        return functional.normalize(scaled.masked_fill(zero, 0.0), dim=-1, eps=1e-38)

    def cosine_distance(self, x, c):
        return 1 - self._unit(x) @ self._unit(c).T

    def prototypes(self, z, labels, n_classes):
        shots = torch.bincount(labels, minlength=n_classes)
        return torch.zeros(n_classes, z.shape[1], dtype=z.dtype).index_add(0, labels, z / shots[labels, None])

    def cross_entropy(self, logits, labels):
        """Where the label is the maximum, log1p of the others' sum by differences to it; elsewhere log-sum-exp."""
        label = labels[:, None]
        top, at = logits.max(1, keepdim=True)
        hit = at == label
        own = logits.gather(1, label)
        powers = torch.exp(logits - torch.where(hit, own, top.detach()))
        others = torch.log1p(powers.scatter(1, label, 0.0).sum(1, keepdim=True))
        missed = torch.log(powers.sum(1, keepdim=True)) + (top.detach() - own)
        return torch.where(hit, others, missed).mean()

    def conv2d(self, x, w):
        kernel = w.permute(3, 2, 0, 1).contiguous()  # torch's own gradient raises without
        return functional.conv2d(x.permute(0, 3, 1, 2), kernel, padding=1).permute(0, 2, 3, 1)

    def batch_norm(self, x, scale, shift, *, eps=1e-5):
        rows = x.reshape(-1, x.shape[-1])
        variance, mean = torch.var_mean(rows, dim=0, correction=0)
        if not torch.isfinite(variance).all():  # torch's own squares as they are
            return super().batch_norm(x, scale, shift, eps=eps)
        # torch 2.13 reads a strided scale as if it were contiguous, in some gradients.
        y = functional.batch_norm(rows, None, None, scale.contiguous(), shift, training=True, eps=eps)
        return y.reshape(x.shape), mean, variance

    def batch_norm_inference(self, x, scale, shift, mean, variance, *, eps=1e-5):
        return torch.addcmul(shift, (x - mean) * torch.rsqrt(variance + eps), scale)

    def relu(self, x):
        return functional.relu(x)

    def max_pool2d(self, x):
        return functional.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


STYLES = {"torch_broadcast": Broadcast(), "torch_functions": Functions()}
