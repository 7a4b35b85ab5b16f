"""Tests of vfnet_d2.training.hooks.ema."""

import torch
from torch import nn

from vfnet_d2.training.hooks.ema import averaged_model, ema_decay


def test_the_decay_grows_to_its_limit() -> None:
    # (1 + 0) / (10 + 0), (1 + 90) / (10 + 90), and the limit for a long training.
    found = [float(ema_decay(torch.tensor(n), decay=0.9998)) for n in (0, 90, 10**6)]
    torch.testing.assert_close(found, [0.1, 0.91, 0.9998], rtol=1e-6, atol=0)


def test_averages_are_those_of_a_naive_loop() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    ema = averaged_model(model, decay=0.9998)
    history = []
    for _ in range(5):
        with torch.no_grad():
            for tensor in [*model.parameters(), model[1].running_mean]:
                tensor.copy_(torch.randn_like(tensor))
            model[1].num_batches_tracked += 1
        history.append({name: value.clone() for name, value in model.state_dict().items()})
        ema.update_parameters(model)
    for name, found in ema.module.state_dict().items():
        expected = history[0][name]
        for n, values in enumerate(history[1:], start=1):
            decay = (1 + n) / (10 + n)
            if name.endswith("num_batches_tracked"):
                expected = values[name]
            else:
                expected = decay * expected + (1 - decay) * values[name]
        # The decay is float32: 2^-24 of values of about 1.
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
