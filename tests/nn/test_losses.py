"""The losses of nn are those of functions and fused, whose tests say what they compute; cross-entropy the fast one."""

from tinygrad_np import functions, fused, nn


def test_the_losses_are_the_fastest_of_their_name():
    assert nn.cross_entropy is fused.cross_entropy
    assert nn.mse_loss is functions.mse_loss
    assert nn.binary_cross_entropy is functions.binary_cross_entropy
